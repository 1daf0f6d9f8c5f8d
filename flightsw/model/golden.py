"""The result of an engine on a package's golden tiles."""

from __future__ import annotations

import msgspec


class GoldenReport(msgspec.Struct, frozen=True):
    """The result of an engine on a package's golden tiles.

    ``agreement`` is the share of the decided pixels (see
    :class:`~flightsw.model.package.GoldenTiles`) with the released class;
    deviations are of all logits, in INT8 steps; ``worst_tile`` names the tile
    with most pixels of another class.
    """

    engine: str
    model_id: str
    tiles: int
    agreement: float
    least_agreement: float
    mean_deviation: float
    largest_mean_deviation: float
    max_deviation: int
    worst_tile: str
    passed: bool

    def as_text(self) -> str:
        """The report in a few lines for people."""
        verdict = "passed" if self.passed else "FAILED"
        return (
            f"golden tiles of {self.model_id} on {self.engine}: {verdict}\n"
            f"  same class {self.agreement:.4%} of decided pixels "
            f"(at least {self.least_agreement:.2%}; least in {self.worst_tile})\n"
            f"  logits off by {self.mean_deviation:.3f} steps on average "
            f"(at most {self.largest_mean_deviation:g}), {self.max_deviation} at most"
        )
