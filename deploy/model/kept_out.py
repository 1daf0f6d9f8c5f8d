"""Networks against the teacher on the tiles that were kept out of training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import nan
from operator import add
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deploy.model.card import BorderRow, Calibration, Interval, Precision, ScaleRow
from deploy.model.card_input import as_card_input
from deploy.model.confidence import Margins, expected_calibration_error, margins_of
from deploy.model.judged import class_probabilities
from deploy.model.label import TaughtTile
from deploy.model.networks import Network
from deploy.model.scores import Confusion, confusion

Probability = NDArray[np.float32]

_DRAWS: Final = 1000
_BORDER: Final = 32
"""Pixels along the border of a tile: the context of a pixel there is one-sided."""


@dataclass(frozen=True)
class AnsweredTile:
    """A tile, and each network's probability of contamination ``(H, W)`` by its name."""

    tile: TaughtTile
    probability: Mapping[str, Probability]

    @property
    def true(self) -> NDArray[np.bool_]:
        """The pixels that the teacher calls contaminated."""
        return self.tile.contaminated

    def counts(self, network: str, pixels: NDArray[np.bool_], *, clear: bool = False) -> Confusion:
        """A network's mask against the teacher's, of ``pixels``; ``clear``: all of them are."""
        true = np.zeros_like(self.true) if clear else self.true
        return confusion(self.probability[network] > 0.5, true, pixels & self.tile.valid)


def contamination(network: Network, bands: NDArray[np.float32]) -> Probability:
    """A network's probability of contamination, from reflectance in the card's input steps."""
    return np.asarray(1 - class_probabilities(network, as_card_input(bands))[0], np.float32)


def answered_tiles(
    tiles: Sequence[TaughtTile], networks: Mapping[str, Network]
) -> list[AnsweredTile]:
    """Run every network on every tile."""
    return [
        AnsweredTile(
            tile, {name: contamination(one, tile.of(one.bands)) for name, one in networks.items()}
        )
        for tile in tqdm(tiles, "tiles kept out", disable=None)
    ]


def interval(counts: Sequence[Confusion], figure: Callable[[Confusion], float | None]) -> Interval:
    """The figure over all tiles, and its 95 % interval over 1,000 draws of as many tiles."""
    return _over_draws(len(counts), lambda indices: _figure_of(counts, indices, figure))


def difference(
    first: Sequence[Confusion],
    second: Sequence[Confusion],
    figure: Callable[[Confusion], float | None],
) -> Interval:
    """The figure of ``second`` less that of ``first``; each draw has the same tiles for both."""

    def over(indices: NDArray[np.int64]) -> float:
        later, earlier = (_figure_of(counts, indices, figure) for counts in (second, first))
        return later - earlier

    return _over_draws(len(first), over)


def _over_draws(tiles: int, over: Callable[[NDArray[np.int64]], float]) -> Interval:
    random = np.random.default_rng(1)
    drawn = [over(random.integers(0, tiles, tiles)) for _ in range(_DRAWS)]
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return Interval(over(np.arange(tiles)), float(low), float(high))


def _figure_of(
    counts: Sequence[Confusion],
    indices: NDArray[np.int64],
    figure: Callable[[Confusion], float | None],
) -> float:
    value = figure(reduce(add, (counts[index] for index in indices)))
    return nan if value is None else value


def scale_rows(answered: Sequence[AnsweredTile], networks: Sequence[str]) -> Iterator[ScaleRow]:
    """Each network at each scale."""
    for metres in sorted({one.tile.ground_sample_distance for one in answered}):
        group = [one for one in answered if one.tile.ground_sample_distance == metres]
        for name in networks:
            counts = [one.counts(name, one.tile.valid) for one in group]
            yield ScaleRow(
                metres=metres,
                network=name,
                tiles=len(group),
                f2=interval(counts, lambda count: count.f2),
                agreement=interval(counts, lambda count: count.agreement),
            )


def border_row(answered: Sequence[AnsweredTile], network: str) -> BorderRow:
    """Along the borders of the tiles at 10 m, and inside."""
    fine = [one for one in answered if one.tile.ground_sample_distance == 10]
    border = [one.counts(network, ~_interior(one.tile)) for one in fine]
    interior = [one.counts(network, _interior(one.tile)) for one in fine]
    return BorderRow(
        network=network,
        tiles=len(fine),
        border=interval(border, lambda count: count.agreement),
        interior=interval(interior, lambda count: count.agreement),
    )


def calibration(answered: Sequence[AnsweredTile], network: str, temperature: float) -> Calibration:
    """How far a network's probabilities are from what was true."""
    known = Margins(
        np.concatenate([margins_of(one.probability[network][one.tile.valid]) for one in answered]),
        np.concatenate([one.true[one.tile.valid] for one in answered]),
    )
    raw, calibrated = (
        expected_calibration_error(known.probabilities(one), known.true) for one in (1, temperature)
    )
    return Calibration(temperature, known.true.size, raw, calibrated)


def precision(answered: Sequence[AnsweredTile], int8: str, floating: str) -> Precision:
    """Share of the pixels of a tile on which two precisions give the same mask."""
    same = [
        float(
            ((one.probability[int8] > 0.5) == (one.probability[floating] > 0.5))[
                one.tile.valid
            ].mean()
        )
        for one in answered
    ]
    return Precision(len(same), float(np.mean(same)), min(same))


def _interior(tile: TaughtTile) -> NDArray[np.bool_]:
    inside = np.zeros(tile.valid.shape, np.bool_)
    inside[_BORDER:-_BORDER, _BORDER:-_BORDER] = True
    return inside
