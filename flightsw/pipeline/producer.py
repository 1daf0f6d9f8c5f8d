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
from flightsw.pipeline.pixel_words import thinned
from flightsw.pipeline.quantisation import Quantiser
from flightsw.pipeline.surroundings import surround
from flightsw.pipeline.work import (
    GridRowDone,
    NoDataPatch,
    PipelineItem,
    TileBatch,
    TileSample,
)
from flightsw.scene.scene import Strip
from flightsw.scene.tiling import Grid


class TileProducer:
    """Quantises a span of the grid, some windows ahead, and slices its windows into batches.

    A tile without a valid pixel is left out.  A batch may hold tiles of
    several grid rows; the end of a row comes after the batch with its last tile.
    ``zero_is_measured`` is that of :class:`~flightsw.scene.scene.SceneMetadata`.  With
    ``sample_every`` above 0 each tile comes with a sample: one of as many of its rows and columns.
    """

    def __init__(
        self,
        grid: Grid,
        engine: EngineInfo,
        quantise: Quantiser,
        latencies: LatencyRecord,
        *,
        zero_is_measured: bool,
        sample_every: int = 0,
    ) -> None:
        self._no_data_pixels = partial(no_data_pixels, zero_is_measured=zero_is_measured)
        self._grid = grid
        self._engine = engine
        self._quantise = quantise
        self._latencies = latencies
        self._sample_every = sample_every
        self._places: list[tuple[int, int]] = []
        self._samples: list[TileSample] = []
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
        missing = self._missing(span)
        columns = self._columns_with_data(span, missing)
        start = stop = 0  # the columns of the scene that are quantised
        for column in columns:
            seen = self._grid.columns_of(column)
            if seen.stop > stop:
                start, stop = seen.start, seen.start + self._width_ahead()
                self._quantise_ahead((*span.beside, span.own), start, stop)
            self._slice(seen, start, span, missing)
            self._places.append((span.row, column))
            self._latencies.add("preparation", perf_counter_ns() - started)
            if len(self._places) == self._engine.batch:
                yield from self._send()
            started = perf_counter_ns()
        if missing is not None:
            self._no_data[span.row].append(self._finished_no_data(span, missing))
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

    def _slice(
        self, seen: range, start: int, span: GridSpan, missing: NDArray[np.bool_] | None
    ) -> None:
        """Copy the window that shows the scene's columns ``seen``."""
        tile = self._tiles[len(self._places)]
        rows, columns = len(self._grid.needed_rows(span.row)), len(seen)
        inside = self._ahead[:rows, seen.start - start : seen.stop - start]
        np.copyto(tile[:rows, :columns], inside)
        if missing is not None:
            missing = missing[:, seen.start - span.left : seen.stop - span.left]
        surround(tile, rows, columns, missing)
        if self._sample_every:
            self._samples.append(self._sample(tile, rows, columns, missing))

    def _sample(
        self, tile: Tiles, rows: int, columns: int, missing: NDArray[np.bool_] | None
    ) -> TileSample:
        """What ``tile`` shows in its upper left ``rows`` x ``columns`` pixels."""
        every = self._sample_every
        valid = None if missing is None else ~missing[::every, ::every]
        return TileSample(thinned(tile[:rows, :columns], every), valid)

    def _missing(self, span: GridSpan) -> NDArray[np.bool_] | None:
        """Pixels of the span without data, from its first column on; None if all are valid."""
        if span.all_valid:
            return None
        stacks = (*span.beside, span.own)
        found = [[self._no_data_pixels(piece) for piece in stack.pieces] for stack in stacks]
        if all(one is None for pieces in found for one in pieces):
            return None
        return np.hstack(
            [
                np.vstack(
                    [
                        np.zeros(piece.shape[1:], np.bool_) if one is None else one
                        for piece, one in zip(stack.pieces, pieces, strict=True)
                    ]
                )
                for stack, pieces in zip(stacks, found, strict=True)
            ]
        )

    def _columns_with_data(self, span: GridSpan, missing: NDArray[np.bool_] | None) -> list[int]:
        """Grid columns of the span whose window has a valid pixel."""
        if missing is None:
            return [*span.columns]
        empty = np.logical_and.reduce(missing)
        windows = ((column, self._grid.columns_of(column)) for column in span.columns)
        return [
            column
            for column, seen in windows
            if not empty[seen.start - span.left : seen.stop - span.left].all()
        ]

    def _finished_no_data(self, span: GridSpan, missing: NDArray[np.bool_]) -> NoDataPatch:
        """Pixels without data in the rows that the grid row finishes, in the span's own panel."""
        finished = self._grid.finished_rows(span.row)
        own = missing[: len(finished), span.own.left - span.left :]
        return NoDataPatch(finished.start, span.own.left, own)

    def _row_end(self, span: GridSpan) -> GridRowDone:
        finished = []
        if span.own.left == 0:  # the panel is the whole row
            due = len(self._grid.finished_rows(span.row))
            for piece in span.own.pieces:
                if due > 0:
                    finished.append(piece[:, :due])
                due -= piece.shape[1]
        no_data = tuple(self._no_data.pop(span.row, ()))
        return GridRowDone(span.row, no_data, tuple(finished), self._without_data.pop(span.row))

    def _send(self) -> Iterator[PipelineItem]:
        if self._places:
            tiles = self._tiles[: len(self._places)]
            yield TileBatch(tuple(self._places), tiles, tuple(self._samples))
            self._places = []
            self._samples = []
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
