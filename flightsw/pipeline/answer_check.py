"""Which answers of an engine are doubtful (docs/decisions/0030-doubtful-answers.md).

Pure functions of a tile's logits, its neighbours' logits and the scene's earlier answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from flightsw.engines.engine import EngineInfo, Logits, Tiles
from flightsw.pipeline.fusion import Margins, clear_and_contaminated, margin_of
from flightsw.scene.tiling import Grid

LEAST_SIMILARITY: Final = 0.35
"""Of two answers in their overlap; 4 % of real tiles are below, and all that are inverted."""
MOST_SPECKLES: Final = 20
"""Of a tile, without those that its bands show."""
MOST_BORDERS: Final = 3
"""Of a tile, likewise."""

TWICE: Final = "differs from the second answer"
"""The doubt of an answer that nothing else speaks against."""

_SPECKLE: Final = 12  # INT8 steps
_JUMP: Final = 9  # INT8 steps beyond twice the difference on either side
_SEEN_SPECKLE: Final = 4  # INT8 steps of a band that explain a speckle of the answer
_SEEN_JUMP: Final = 16  # INT8 steps of a band that explain a jump of the answer
_SAMPLED: Final = 16  # every such row and column of a tile identifies it
_ROUNDING: Final = 2  # steps by which another device may round the two logits of a pixel apart
_SAME_LOGIT: Final = 0.25  # floating-point engines round differently in another batch

Place = tuple[int, int]
Levels: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True)
class _Edges:
    """Margins of a tile where its neighbours to the right and below overlap it."""

    right: Margins
    below: Margins


class AnswerCheck:
    """Compares each answer of a scene with what is known of it.  Used by one thread.

    ``pair_sums``: the least and largest sum of the two logits of a pixel, in INT8 steps, in sound
    answers (:attr:`flightsw.engines.golden.GoldenAnswers.pair_sums`); None if they are unrelated.
    With ``every`` it doubts each answer, so that each tile is computed twice.
    """

    def __init__(
        self,
        grid: Grid,
        engine: EngineInfo,
        pair_sums: tuple[int, int] | None = None,
        *,
        every: bool = False,
    ) -> None:
        self._grid = grid
        self._overlaps = grid.stride < grid.tile_size
        self._exact = engine.output is not None
        self._pair_sums = pair_sums and (pair_sums[0] - _ROUNDING, pair_sums[1] + _ROUNDING)
        self._otherwise = TWICE if every else ""
        self._edges: dict[Place, _Edges] = {}
        self._asked: dict[int, int] = {}  # of the scene's answers, the tile that each was given to

    def doubt(self, place: Place, tile: Tiles, logits: Logits) -> str:
        """Why the answer ``logits`` to ``tile`` is doubtful, as a predicate; "" if it is not.

        ``(tile_size, tile_size, classes)`` and ``(tile_size, tile_size, bands)``.  Its edges are
        kept for its neighbours.
        """
        clear, contaminated = clear_and_contaminated(logits)
        doubts = (  # all three: two of them keep what later tiles are compared with
            self._doubt_of_pixels(tile, clear, contaminated),
            self._doubt_of_repetition(tile, logits),
            self._doubt_of_overlap(place, clear, contaminated),
        )
        return next(filter(None, doubts), self._otherwise)

    def impossible(self, logits: Logits) -> bool:
        """Whether no sound engine gives this answer, however often it is asked."""
        return self._breaks_pairs(*clear_and_contaminated(logits))

    def same(self, one: Logits, other: Logits) -> bool:
        """Whether two answers to the same tile agree: exactly if they are INT8."""
        if self._exact:
            return bool(np.array_equal(one, other))
        return bool(np.abs(one - other).max() <= _SAME_LOGIT)

    def accept(self, place: Place, logits: Logits) -> None:
        """Keep the edges of an answer that was confirmed."""
        self._keep_edges(place, *clear_and_contaminated(logits))

    def forget_above(self, row: int) -> None:
        """Drop the edges of tiles above grid row ``row``, all of which is answered."""
        self._edges = {place: edges for place, edges in self._edges.items() if place[0] >= row}

    def _doubt_of_pixels(self, tile: Tiles, clear: Logits, contaminated: Logits) -> str:
        if self._breaks_pairs(clear, contaminated):
            return "has pixels whose two logits are not opposite"
        if not self._exact:
            return ""
        levels = unsigned(clear)
        if speckles(levels) > MOST_SPECKLES and speckles(levels, tile) > MOST_SPECKLES:
            return "has single pixels that contradict those around them"
        if borders(levels) > MOST_BORDERS and borders(levels, tile) > MOST_BORDERS:
            return "has a patch with straight borders"
        return ""

    def _breaks_pairs(self, clear: Logits, contaminated: Logits) -> bool:
        if self._pair_sums is None:
            return False
        least, largest, *_ = cv2.minMaxLoc(cv2.add(clear, contaminated))
        return least < self._pair_sums[0] or largest > self._pair_sums[1]

    def _doubt_of_repetition(self, tile: Tiles, logits: Logits) -> str:
        every = np.s_[::_SAMPLED, ::_SAMPLED]
        given, answer = hash(tile[every].tobytes()), hash(logits[every].tobytes())
        repeats = self._asked.setdefault(answer, given) != given
        return "is the answer to an earlier tile" if repeats else ""

    def _doubt_of_overlap(self, place: Place, clear: Logits, contaminated: Logits) -> str:
        least = self._least_similarity(place, clear, contaminated)
        if least is None:
            return "has no neighbour to be compared with" if self._overlaps else ""
        if least < LEAST_SIMILARITY:
            return f"contradicts its neighbours (similarity {least:.2f})"
        return ""

    def _least_similarity(self, place: Place, clear: Logits, contaminated: Logits) -> float | None:
        """The least over the neighbours above and to the left; None if both are absent."""
        self._keep_edges(place, clear, contaminated)
        row, column = place
        edges = []
        if left := self._edges.get((row, column - 1)):
            edges.append(left.right)
        if above := self._edges.get((row - 1, column)):
            edges.append(above.below)
        return min(
            (
                similarity(
                    _margin(clear, contaminated, np.s_[: edge.shape[0], : edge.shape[1]]), edge
                )
                for edge in edges
                if edge.size
            ),
            default=None,
        )

    def _keep_edges(self, place: Place, clear: Logits, contaminated: Logits) -> None:
        grid, (row, column) = self._grid, place
        rows, columns = grid.needed_rows(row), grid.columns_of(column)
        depth = grid.tile_size - grid.stride  # the first pixels of a deeper overlap are enough
        right: tuple[slice, slice] = np.s_[:0, :0]
        below = right
        if column + 1 < grid.columns:
            first = grid.columns_of(column + 1).start - columns.start
            right = np.s_[: len(rows), first : min(first + depth, len(columns))]
        if row + 1 < grid.rows:
            first = grid.needed_rows(row + 1).start - rows.start
            below = np.s_[first : min(first + depth, len(rows)), : len(columns)]
        self._edges[place] = _Edges(
            _margin(clear, contaminated, right), _margin(clear, contaminated, below)
        )


def similarity(one: Margins, other: Margins) -> float:
    """How far two answers agree where they overlap: from -1, opposite, to 1, equal.

    Margins as :func:`~flightsw.pipeline.fusion.contamination_margin` gives them, equal in shape.
    0 if either is zero everywhere, or if they are unrelated.
    """
    first, second = (margin.astype(np.float32).ravel() for margin in (one, other))
    larger = np.maximum(np.abs(first), np.abs(second))
    most = float(larger @ larger)
    return float(first @ second) / most if most else 0.0


def unsigned(logits: Logits) -> Levels:
    """INT8 logits from 0 to 255: OpenCV has no median of int8, and its differences saturate."""
    return logits.view(np.uint8) ^ np.uint8(0x80)


def speckles(levels: Levels, tile: Tiles | None = None) -> int:
    """Pixels ``(H, W)`` that are far from the median of 3 x 3 pixels.

    With the INT8 ``tile`` ``(H, W, bands)`` without those of which a band is, too.
    """
    away = _from_median(levels) >= _SPECKLE
    for band in _bands(tile):
        away &= _from_median(band) < _SEEN_SPECKLE
    return int(np.count_nonzero(away))


def borders(levels: Levels, tile: Tiles | None = None) -> int:
    """Places on straight borders of patches ``(H, W)``.

    At a border three neighbouring rows or columns jump, and hardly change beside it.  With the
    INT8 ``tile`` ``(H, W, bands)`` without those at which a band changes much, too.
    """
    bands = _bands(tile)
    turned = [cv2.transpose(band) for band in bands]
    return _borders_between_rows(levels, bands) + _borders_between_rows(
        cv2.transpose(levels), turned
    )


def _bands(tile: Tiles | None) -> Sequence[MatLike]:
    """None of a tile of a floating-point engine, whose answers are not examined."""
    return () if tile is None or tile.dtype != np.int8 else cv2.split(unsigned(tile))


def _from_median(levels: MatLike) -> MatLike:
    return cv2.absdiff(levels, cv2.medianBlur(levels, 3))


def _borders_between_rows(levels: MatLike, bands: Sequence[MatLike]) -> int:
    change = cv2.absdiff(levels[1:], levels[:-1])
    beside = cv2.max(change[:-2], change[2:])
    excess = cv2.subtract(cv2.subtract(change[1:-1], beside), beside)
    if cv2.minMaxLoc(excess)[1] < _JUMP:
        return 0  # most tiles, in less time
    jumps = excess >= _JUMP
    for band in bands:
        jumps &= cv2.absdiff(band[2:-1], band[1:-2]) < _SEEN_JUMP
    return int(np.count_nonzero(jumps[:, 2:] & jumps[:, 1:-1] & jumps[:, :-2]))


def _margin(clear: Logits, contaminated: Logits, part: tuple[slice, slice]) -> Margins:
    return margin_of(clear[part], contaminated[part])
