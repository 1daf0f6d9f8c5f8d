"""Logits of overlapping tiles become one mask, row block by row block.

All sums are of integers, so the mask does not depend on the order in which
tiles arrive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from flightsw.engines.engine import EngineInfo, Logits, Quantisation
from flightsw.scene.tiling import Grid

Fusion = Literal["or", "blend"]

Margins = NDArray[np.int16 | np.float32]
Evidence = NDArray[np.uint8] | NDArray[np.int32]
Percent = NDArray[np.uint8]

_FIXED_POINT: Final = 1 << 20  # a probability of 1; thousands of tiles a pixel fit an int32
_LEVELS: Final = 256  # of an INT8 logit
_ABOVE: Final = 101  # added to the per cent of a margin above 0


@dataclass(frozen=True)
class FusedRows:
    """Finished rows ``[top, top + rows)``: ``mask`` uint8 0/1, ``classes`` uint8 or None.

    ``probability`` uint8, per cent, None unless it was requested.
    """

    top: int
    mask: NDArray[np.uint8]
    classes: NDArray[np.uint8] | None
    probability: Percent | None


class MaskFusion:
    """Collects tiles and returns the rows that no further tile can change.

    ``or``: contaminated if any tile says so (the reference).  ``blend``:
    contaminated if the mean probability over the tiles that see the pixel
    is above one half.  Equal logits, and a mean of one half, are clear.
    With ``threshold``, whole per cent, a pixel is contaminated if its probability is the
    threshold or more.  The probability is the largest of the tiles that see the pixel
    (``or``), or their mean (``blend``), in whole per cent.  Memory
    is that of the rows with outstanding tiles: a few hundred, or in panels those of a decode.
    A pixel takes one byte (``or``) or four (``blend``), and four of each class of three or more.
    """

    def __init__(
        self,
        grid: Grid,
        engine: EngineInfo,
        fusion: Fusion,
        *,
        threshold: int | None = None,
        probability: bool = False,
    ) -> None:
        self._grid = grid
        self._threshold = threshold
        self._probability = probability
        self._evidence: _Evidence
        if fusion == "blend":
            self._evidence = _MeanProbability(engine, grid)
        elif probability or threshold is not None:
            self._evidence = _LargestProbability(engine)
        else:
            self._evidence = _AnyTile()
        self._class_scores = (
            _ClassScores(engine.output, len(engine.classes)) if len(engine.classes) > 2 else None
        )
        self._blocks: dict[int, _Block] = {}

    def add(self, row: int, column: int, logits: Logits) -> None:
        """Take a tile's logits ``(tile_size, tile_size, classes)`` at a grid place."""
        columns = self._grid.columns_of(column)
        rows = self._grid.needed_rows(row)
        seen = logits[: len(rows), : len(columns)]
        evidence = self._evidence(*clear_and_contaminated(seen))
        scores = self._class_scores(seen) if self._class_scores else None
        for number in range(row, self._grid.rows):
            span = self._grid.finished_rows(number)
            if span.start >= rows.stop:
                break
            block = self._block(number)
            inside = slice(max(span.start, rows.start), min(span.stop, rows.stop))
            there = (
                slice(inside.start - span.start, inside.stop - span.start),
                slice(columns.start, columns.stop),
            )
            here = slice(inside.start - rows.start, inside.stop - rows.start)
            held = block.evidence[there]
            self._evidence.combine(held, evidence[here], out=held)
            if block.scores is not None and scores is not None:
                block.scores[there] += scores[here]

    def finish(self, row: int) -> FusedRows:
        """Return the rows that grid row ``row`` finishes; all its tiles must have come."""
        block = self._blocks.pop(row, None) or self._new_block(row)
        rows = self._grid.finished_rows(row)
        percent = None
        if self._probability or self._threshold is not None:
            percent = self._evidence.percent(block.evidence, rows)
        if percent is None or self._threshold is None:
            contaminated = self._evidence.contaminated(block.evidence)
        else:
            contaminated = percent >= self._threshold
        mask = contaminated.view(np.uint8)  # True is CONTAMINATED; np.where takes ten times as long
        classes = None
        if block.scores is not None:
            kinds = 1 + block.scores[..., 1:].argmax(axis=2)
            classes = np.where(contaminated, kinds, 0).astype(np.uint8)
        return FusedRows(rows.start, mask, classes, percent if self._probability else None)

    def _block(self, row: int) -> _Block:
        if row not in self._blocks:
            self._blocks[row] = self._new_block(row)
        return self._blocks[row]

    def _new_block(self, row: int) -> _Block:
        shape = (len(self._grid.finished_rows(row)), self._grid.width)
        scores = None
        if self._class_scores is not None:
            scores = np.zeros((*shape, self._class_scores.classes), dtype=np.int32)
        return _Block(np.zeros(shape, dtype=self._evidence.dtype), scores)


def contamination_margin(logits: Logits) -> Margins:
    """Largest contaminated logit less the clear one, ``(H, W)``, from ``(H, W, classes)``.

    int16 of int8 logits, float32 of float32.
    """
    return margin_of(*clear_and_contaminated(logits))


def clear_and_contaminated(logits: Logits) -> tuple[Logits, Logits]:
    """The clear logit and the largest contaminated one, both ``(H, W)``."""
    # Planes first: NumPy's loops take five times as long on every second byte.
    planes: Sequence[Any] = cv2.split(np.ascontiguousarray(logits))
    clear, *others = planes
    return clear, reduce(np.maximum, others)


def margin_of(clear: Logits, contaminated: Logits) -> Margins:
    """The contaminated logit less the clear one, int16 of int8 logits, float32 of float32."""
    wide = np.int16 if clear.dtype == np.int8 else np.float32
    margin: Margins = np.subtract(contaminated, clear, dtype=wide)
    return margin


@dataclass(frozen=True)
class _Block:
    evidence: Evidence
    scores: NDArray[np.int32] | None


class _Evidence(Protocol):
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def combine(self) -> np.ufunc: ...
    def __call__(self, clear: Logits, contaminated: Logits) -> Evidence: ...
    def contaminated(self, evidence: Evidence) -> NDArray[np.bool_]: ...
    def percent(self, evidence: Evidence, rows: range) -> Percent | None: ...


class _AnyTile:
    """One contaminated tile is enough; the fastest, and it knows no probability."""

    dtype: Final[np.dtype[Any]] = np.dtype(np.uint8)
    combine: Final = np.bitwise_or

    def __call__(self, clear: Logits, contaminated: Logits) -> NDArray[np.uint8]:
        """1 if this tile's margin is positive."""
        return np.greater(contaminated, clear).view(np.uint8)

    def contaminated(self, evidence: Evidence) -> NDArray[np.bool_]:
        """Whether any tile's margin was."""
        return evidence > 0

    def percent(self, evidence: Evidence, rows: range) -> None:
        """There is none."""


class _LargestProbability:
    """The tile that is surest of contamination: per cent, plus 101 if its margin is positive.

    So one byte holds both, in the order of the margins: a pixel of 50 % may be either.
    """

    dtype: Final[np.dtype[Any]] = np.dtype(np.uint8)
    combine: Final = np.maximum

    def __init__(self, engine: EngineInfo) -> None:
        self._temperature = engine.temperature
        self._table = _by_margin(_steps, engine)

    def __call__(self, clear: Logits, contaminated: Logits) -> NDArray[np.uint8]:
        """This tile's step."""
        margin = margin_of(clear, contaminated)
        if self._table is None:
            return _steps(margin.astype(np.float64) / self._temperature)
        return np.asarray(self._table[margin.astype(np.int16, copy=False) + (_LEVELS - 1)])

    def contaminated(self, evidence: Evidence) -> NDArray[np.bool_]:
        """Whether any tile's margin was positive."""
        return evidence >= _ABOVE

    def percent(self, evidence: Evidence, rows: range) -> Percent:  # noqa: ARG002
        """The largest probability."""
        above = (evidence >= _ABOVE).view(np.uint8)
        return np.asarray(evidence - above * np.uint8(_ABOVE), dtype=np.uint8)


class _MeanProbability:
    """Margin to 2p - 1 in fixed point: odd in the margin, so a tie adds nothing."""

    dtype: Final[np.dtype[Any]] = np.dtype(np.int32)
    combine: Final = np.add

    def __init__(self, engine: EngineInfo, grid: Grid) -> None:
        self._temperature = engine.temperature
        self._table = _by_margin(_signed_probability, engine)
        self._tiles_by_row, self._tiles_by_column = np.zeros(grid.height), np.zeros(grid.width)
        for row in range(grid.rows):
            self._tiles_by_row[_slice(grid.needed_rows(row))] += 1
        for column in range(grid.columns):
            self._tiles_by_column[_slice(grid.columns_of(column))] += 1

    def __call__(self, clear: Logits, contaminated: Logits) -> NDArray[np.int32]:
        """This tile's 2p - 1 in fixed point."""
        margin = margin_of(clear, contaminated)
        if self._table is None:
            return _signed_probability(margin.astype(np.float64) / self._temperature)
        return np.asarray(self._table[margin.astype(np.int16, copy=False) + (_LEVELS - 1)])

    def contaminated(self, evidence: Evidence) -> NDArray[np.bool_]:
        """Whether the mean is above one half."""
        return evidence > 0

    def percent(self, evidence: Evidence, rows: range) -> Percent:
        """The mean over the tiles of each pixel; a tile that never came saw no valid pixel."""
        tiles = np.outer(self._tiles_by_row[_slice(rows)], self._tiles_by_column)
        mean = evidence / (tiles * _FIXED_POINT)
        return np.asarray(np.rint(50 + 50 * mean), dtype=np.uint8)


def _slice(span: range) -> slice:
    return slice(span.start, span.stop)


def _by_margin(
    function: Callable[[NDArray[np.float64]], NDArray[Any]], engine: EngineInfo
) -> NDArray[Any] | None:
    """The function of every margin of INT8 logits, from -255 to 255; None of other logits."""
    if engine.output is None:
        return None
    margins = np.arange(-_LEVELS + 1, _LEVELS, dtype=np.float64) * engine.output.scale
    return function(margins / engine.temperature)


def _steps(margin: NDArray[np.float64]) -> NDArray[np.uint8]:
    percent = np.rint(50 + 50 * np.tanh(margin / 2))
    return np.asarray(percent + _ABOVE * (margin > 0), dtype=np.uint8)


def _signed_probability(margin: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.asarray(np.rint(np.tanh(margin / 2) * _FIXED_POINT), dtype=np.int32)


class _ClassScores:
    """Logits to class probabilities in fixed point: int32 ``(H, W, classes)``."""

    def __init__(self, output: Quantisation | None, classes: int) -> None:
        self.classes = classes
        self._scale = output.scale if output else 1.0

    def __call__(self, logits: Logits) -> NDArray[np.int32]:
        """This tile's class probabilities."""
        real = logits.astype(np.float64) * self._scale
        weights = np.exp(real - real.max(axis=2, keepdims=True))
        probabilities = weights / weights.sum(axis=2, keepdims=True)
        return np.asarray(np.rint(probabilities * _FIXED_POINT), dtype=np.int32)
