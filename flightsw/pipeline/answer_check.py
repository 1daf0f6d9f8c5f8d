"""Which answers of an engine are doubtful (docs/decisions/0030-doubtful-answers.md).

Pure functions of a tile's logits, its neighbours' logits and the answers just before it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from flightsw.engines.engine import EngineInfo, Logits, Tiles
from flightsw.pipeline.fusion import Margins, clear_and_contaminated, margin_of
from flightsw.scene.tiling import Grid

LEAST_SIMILARITY: Final = 0.35
"""Of two answers in their overlap; 4 % of real tiles are below, and all that are inverted."""
MOST_SPECKLES: Final = 20
"""Of a tile; the most in a real tile is 11."""

TWICE: Final = "differs from the second answer"
"""The doubt of an answer that nothing else speaks against."""

_SPECKLE: Final = 12  # INT8 steps
_RECENT: Final = 16  # tiles in flight in the deepest arrangement of the card
_SAMPLED: Final = 16  # every such row and column of a tile identifies it
_ROUNDING: Final = 2  # steps by which another device may round the two logits of a pixel apart
_SAME_LOGIT: Final = 0.25  # floating-point engines round differently in another batch

Place = tuple[int, int]


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
        self._recent: deque[tuple[bytes, bytes]] = deque(maxlen=_RECENT)

    def doubt(self, place: Place, tile: Tiles, logits: Logits) -> str:
        """Why the answer ``logits`` to ``tile`` is doubtful, as a predicate; "" if it is not.

        ``(tile_size, tile_size, classes)`` and ``(tile_size, tile_size, bands)``.  Its edges are
        kept for its neighbours.
        """
        clear, contaminated = clear_and_contaminated(logits)
        stale = self._repeats(tile, logits)
        least = self._least_similarity(place, clear, contaminated)
        if self._breaks_pairs(clear, contaminated):
            return "has pixels whose two logits are not opposite"
        if self._exact and speckles(clear) > MOST_SPECKLES:
            return "has single pixels that contradict those around them"
        if stale:
            return "is the answer to an earlier tile"
        if least is None:
            return "has no neighbour to be compared with" if self._overlaps else self._otherwise
        if least < LEAST_SIMILARITY:
            return f"contradicts its neighbours (similarity {least:.2f})"
        return self._otherwise

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

    def _breaks_pairs(self, clear: Logits, contaminated: Logits) -> bool:
        if self._pair_sums is None:
            return False
        least, largest, *_ = cv2.minMaxLoc(cv2.add(clear, contaminated))
        return least < self._pair_sums[0] or largest > self._pair_sums[1]

    def _repeats(self, tile: Tiles, logits: Logits) -> bool:
        every = np.s_[::_SAMPLED, ::_SAMPLED]
        given, answer = tile[every].tobytes(), logits[every].tobytes()
        repeats = any(answer == other and given != asked for asked, other in self._recent)
        self._recent.append((given, answer))
        return repeats

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


def speckles(clear: Logits) -> int:
    """Pixels of a class's logits ``(H, W)`` that are far from the median of 3 x 3 pixels."""
    shifted = clear.view(np.uint8) ^ 0x80  # OpenCV has no median of int8
    away = cv2.absdiff(shifted, cv2.medianBlur(shifted, 3))
    return int(np.count_nonzero(away >= _SPECKLE))


def _margin(clear: Logits, contaminated: Logits, part: tuple[slice, slice]) -> Margins:
    return margin_of(clear[part], contaminated[part])
