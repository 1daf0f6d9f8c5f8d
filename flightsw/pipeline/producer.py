"""The producer: strips of digital numbers become batches of tiles."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from flightsw.engines.engine import EngineInfo, Tiles
from flightsw.pipeline.grid_spans import GridSpan, Stack, grid_spans, no_data_pixels
from flightsw.pipeline.latency import LatencyRecord
from flightsw.pipeline.quantisation import Quantiser
from flightsw.pipeline.work import GridRowDone, NoDataPatch, PipelineItem, TileBatch
from flightsw.scene.scene import Strip
from flightsw.scene.tiling import Grid


class TileProducer:
    """Quantises a span of the grid, some windows ahead, and slices its windows into batches.

    A tile without a valid pixel is left out.  A batch may hold tiles of
    several grid rows; the end of a row comes after the batch with its last tile.
    ``zero_is_measured`` is that of :class:`~flightsw.scene.scene.SceneMetadata`.
    """

    def __init__(
        self,
        grid: Grid,
        engine: EngineInfo,
        quantise: Quantiser,
        latencies: LatencyRecord,
        *,
        zero_is_measured: bool,
    ) -> None:
        self._missing = partial(no_data_pixels, zero_is_measured=zero_is_measured)
        self._grid = grid
        self._engine = engine
        self._quantise = quantise
        self._latencies = latencies
        self._places: list[tuple[int, int]] = []
        self._tiles = self._new_batch()
        self._ahead = self._empty_ahead()  # the next windows, side by side
        self._no_data: defaultdict[int, list[NoDataPatch]] = defaultdict(list)  # by grid row
        self._without_data: Counter[int] = Counter()  # tiles, by grid row
        self._waiting_ends: list[GridRowDone] = []

    def prepare(self, strips: Iterable[Strip]) -> Iterator[PipelineItem]:
        """Yield batches and row ends, in order, for strips of any height and width."""
        for span in grid_spans(strips, self._grid):
            yield from self._prepare_span(span)
        yield from self._send()

    def _prepare_span(self, span: GridSpan) -> Iterator[PipelineItem]:
        started = perf_counter_ns()
        no_data = [self._missing(piece) for piece in span.own.pieces]
        columns = self._columns_with_data(span, no_data)
        start = stop = 0  # the columns of the scene that are quantised
        for column in columns:
            left = column * self._grid.stride
            right = left + self._grid.tile_size
            if right > stop:
                start, stop = left, left + self._width_ahead()
                self._quantise_ahead((*span.beside, span.own), start, stop)
            np.copyto(self._tiles[len(self._places)], self._ahead[:, left - start : right - start])
            self._places.append((span.row, column))
            self._latencies.add("preparation", perf_counter_ns() - started)
            if len(self._places) == self._engine.batch:
                yield from self._send()
            started = perf_counter_ns()
        self._no_data[span.row] += self._finished_no_data(span, no_data)
        self._without_data[span.row] += len(span.columns) - len(columns)
        if span.ends_row:
            self._waiting_ends.append(self._row_end(span))
            if not self._places:
                yield from self._send()

    def _quantise_ahead(self, stacks: Sequence[Stack], start: int, stop: int) -> None:
        """Quantise the scene's columns from ``start`` on, up to ``stop`` or the panel's end."""
        rows = sum(piece.shape[1] for piece in stacks[-1].pieces)
        for stack in stacks:
            first, end = max(start, stack.left), min(stop, stack.right)
            if first < end:
                inside = slice(first - stack.left, end - stack.left)
                numbers = [piece[:, :, inside] for piece in stack.pieces]
                self._quantise(numbers, self._ahead[:rows, first - start : end - start])
        self._ahead[rows:] = self._engine.no_reflectance
        if stop > self._grid.width:  # only the last window may pass the scene's edge
            beyond = slice(self._grid.width - start, stop - start)
            self._ahead[:, beyond] = self._engine.no_reflectance

    def _columns_with_data(
        self, span: GridSpan, no_data: Sequence[NDArray[np.bool_] | None]
    ) -> list[int]:
        """Grid columns of the span whose window has a valid pixel; ``no_data``: of ``span.own``."""
        beside = [[self._missing(piece) for piece in stack.pieces] for stack in span.beside]
        stacks = zip((*span.beside, span.own), (*beside, no_data), strict=True)
        empty = np.concatenate([_empty_columns(stack, missing) for stack, missing in stacks])
        origin = (*span.beside, span.own)[0].left
        windows = ((column, self._grid.columns_of(column)) for column in span.columns)
        return [
            column
            for column, seen in windows
            if not empty[seen.start - origin : seen.stop - origin].all()
        ]

    def _finished_no_data(
        self, span: GridSpan, no_data: Sequence[NDArray[np.bool_] | None]
    ) -> Iterator[NoDataPatch]:
        """Pixels without data in the rows that the grid row finishes, in the span's own panel."""
        finished = self._grid.finished_rows(span.row)
        top = finished.start
        for piece, missing in zip(span.own.pieces, no_data, strict=True):
            if missing is not None and top < finished.stop:
                yield NoDataPatch(top, span.own.left, missing[: finished.stop - top])
            top += piece.shape[1]

    def _row_end(self, span: GridSpan) -> GridRowDone:
        finished = []
        if span.own.left == 0:  # the panel is the whole row
            due = len(self._grid.finished_rows(span.row))
            for piece in span.own.pieces:
                if due > 0:
                    finished.append(piece[:, :due])
                due -= piece.shape[1]
        no_data = tuple(self._no_data.pop(span.row))
        return GridRowDone(span.row, no_data, tuple(finished), self._without_data.pop(span.row))

    def _send(self) -> Iterator[PipelineItem]:
        if self._places:
            yield TileBatch(tuple(self._places), self._tiles[: len(self._places)])
            self._places = []
            self._tiles = self._new_batch()
        yield from self._waiting_ends
        self._waiting_ends = []

    def _width_ahead(self) -> int:
        """Columns of as many windows as the quantiser prefers at a time.

        On the CPU a few: the queue would run empty during a whole row.
        """
        windows = min(self._quantise.windows or self._grid.columns, self._grid.columns)
        return (windows - 1) * self._grid.stride + self._grid.tile_size

    def _empty_ahead(self) -> Tiles:
        shape = (self._grid.tile_size, self._width_ahead(), len(self._engine.bands))
        return np.empty(shape, dtype=self._engine.tile_dtype)

    def _new_batch(self) -> Tiles:
        side = self._grid.tile_size
        shape = (self._engine.batch, side, side, len(self._engine.bands))
        return np.empty(shape, dtype=self._engine.tile_dtype)


def _empty_columns(stack: Stack, no_data: Sequence[NDArray[np.bool_] | None]) -> NDArray[np.bool_]:
    """Columns of the stack without a valid pixel; ``no_data`` is that of its pieces."""
    empty = [missing.all(axis=0) for missing in no_data if missing is not None]
    if len(empty) < len(no_data):
        return np.zeros(stack.right - stack.left, dtype=np.bool_)
    return np.asarray(np.logical_and.reduce(empty))
