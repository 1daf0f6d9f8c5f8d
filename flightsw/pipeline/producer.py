"""The producer: strips of digital numbers become batches of INT8 tiles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from time import perf_counter_ns
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flightsw.engines.engine import EngineInfo
from flightsw.pipeline.grid_rows import GridRow, grid_rows, no_data_pixels
from flightsw.pipeline.latency import LatencyRecord
from flightsw.pipeline.quantisation import Quantiser
from flightsw.pipeline.work import Prepared, RowEnd, TileBatch
from flightsw.scene.scene import Strip
from flightsw.tiling import Grid

_WINDOWS_AHEAD: Final = 6  # half the queue's slack, and still long runs for the lookup


class TileProducer:
    """Quantises a grid row, some windows ahead, and slices its windows into batches.

    A tile without a valid pixel is left out.  A batch may hold tiles of
    several grid rows; the end of a row comes after the batch with its last tile.
    """

    def __init__(
        self, grid: Grid, engine: EngineInfo, quantise: Quantiser, latencies: LatencyRecord
    ) -> None:
        self._grid = grid
        self._engine = engine
        self._quantise = quantise
        self._latencies = latencies
        self._places: list[tuple[int, int]] = []
        self._tiles = self._new_batch()
        self._plane = self._empty_plane()  # a grid row's windows side by side, zero padded
        self._waiting_ends: list[RowEnd] = []

    def prepare(self, strips: Iterable[Strip]) -> Iterator[Prepared]:
        """Yield batches and row ends, in order, for strips of any height."""
        for grid_row in grid_rows(strips, self._grid):
            yield from self._prepare_row(grid_row)
        yield from self._send()

    def _prepare_row(self, grid_row: GridRow) -> Iterator[Prepared]:
        started = perf_counter_ns()
        no_data = no_data_pixels(grid_row.digital_numbers)
        columns = self._columns_with_data(no_data)
        self._plane[grid_row.digital_numbers.shape[1] :] = self._engine.input_zero_point
        quantised = 0
        for column in columns:
            left = column * self._grid.stride
            quantised = self._quantise_ahead(grid_row.digital_numbers, left, quantised)
            window = self._plane[:, left : left + self._grid.tile_size]
            np.copyto(self._tiles[len(self._places)], window)
            self._places.append((grid_row.row, column))
            self._latencies.add("preparation", perf_counter_ns() - started)
            if len(self._places) == self._engine.batch:
                yield from self._send()
            started = perf_counter_ns()
        self._waiting_ends.append(self._row_end(grid_row, no_data, len(columns)))
        if not self._places:
            yield from self._send()

    def _quantise_ahead(
        self, digital_numbers: NDArray[np.uint16], left: int, quantised: int
    ) -> int:
        """Have the columns of the window at ``left`` quantised; return up to where they are.

        A few windows at a time: a whole row at once would let the queue run dry meanwhile.
        """
        _, rows, width = digital_numbers.shape
        if quantised >= min(left + self._grid.tile_size, width):
            return quantised
        start = max(quantised, left)
        stop: int = min(start + _WINDOWS_AHEAD * self._grid.tile_size, width)
        self._quantise(digital_numbers[:, :, start:stop], self._plane[:rows, start:stop])
        return stop

    def _columns_with_data(self, no_data: NDArray[np.bool_] | None) -> list[int]:
        if no_data is None:
            return list(range(self._grid.columns))
        empty: NDArray[np.bool_] = np.all(no_data, axis=0)
        spans = ((column, self._grid.columns_of(column)) for column in range(self._grid.columns))
        return [column for column, span in spans if not empty[span.start : span.stop].all()]

    def _row_end(
        self, grid_row: GridRow, no_data: NDArray[np.bool_] | None, tiles_with_data: int
    ) -> RowEnd:
        count = len(self._grid.finished_rows(grid_row.row))
        return RowEnd(
            grid_row.row,
            grid_row.digital_numbers[:, :count],
            None if no_data is None else no_data[:count],
            self._grid.columns - tiles_with_data,
        )

    def _send(self) -> Iterator[Prepared]:
        if self._places:
            yield TileBatch(tuple(self._places), self._tiles[: len(self._places)])
            self._places = []
            self._tiles = self._new_batch()
        yield from self._waiting_ends
        self._waiting_ends = []

    def _empty_plane(self) -> NDArray[np.int8]:
        shape = (self._grid.tile_size, self._grid.padded_width, len(self._engine.bands))
        return np.full(shape, self._engine.input_zero_point, dtype=np.int8)

    def _new_batch(self) -> NDArray[np.int8]:
        side = self._grid.tile_size
        shape = (self._engine.batch, side, side, len(self._engine.bands))
        return np.empty(shape, dtype=np.int8)
