"""Does an engine still answer as the released network does?"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from flightsw.engines.engine import Engine
from flightsw.model.package import ModelPackage


class GoldenReport(msgspec.Struct, frozen=True):
    """How an engine did on a package's golden tiles.

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


def check_golden_tiles(engine: Engine, package: ModelPackage) -> GoldenReport:
    """Run the golden tiles through ``engine``; raises what the engine raises."""
    golden = package.golden_tiles()
    batch = engine.info.batch
    found = np.concatenate(
        [
            engine.infer(golden.tiles[start : start + batch])
            for start in range(0, len(golden.tiles), batch)
        ]
    )
    decided = _lead(golden.logits) >= golden.margin
    wrong = decided & (_classes(found) != _classes(golden.logits))
    deviation = np.abs(found.astype(np.int16) - golden.logits)
    agreement, mean_deviation = 1 - float(wrong.sum() / decided.sum()), float(deviation.mean())
    return GoldenReport(
        engine=engine.info.name,
        model_id=package.model_id,
        tiles=len(golden.tiles),
        agreement=agreement,
        least_agreement=golden.least_agreement,
        mean_deviation=mean_deviation,
        largest_mean_deviation=golden.largest_mean_deviation,
        max_deviation=int(deviation.max()),
        worst_tile=golden.names[int(wrong.sum(axis=(1, 2)).argmax())],
        passed=agreement >= golden.least_agreement
        and mean_deviation <= golden.largest_mean_deviation,
    )


def _classes(logits: NDArray[np.int8]) -> NDArray[np.intp]:
    """The class of each pixel; of equal logits the first wins, so a tie is clear."""
    return np.asarray(logits.argmax(axis=-1))


def _lead(logits: NDArray[np.int8]) -> NDArray[np.int16]:
    """INT8 steps from the largest logit of each pixel to the next."""
    ordered = np.sort(logits.astype(np.int16), axis=-1)
    return np.asarray(ordered[..., -1] - ordered[..., -2])
