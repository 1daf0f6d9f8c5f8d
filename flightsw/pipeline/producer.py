"""The producer: strips of digital numbers become batches of tiles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from time import perf_counter_ns

import numpy as np

from flightsw.engines.engine import EngineInfo, Tiles
from flightsw.pipeline.grid_rows import GridRow, grid_rows, no_data_pixels
from flightsw.pipeline.latency import LatencyRecord
from flightsw.pipeline.quantisation import Quantiser
from flightsw.pipeline.work import Piece, Prepared, RowEnd, TileBatch
from flightsw.scene.scene import Strip
from flightsw.tiling import Grid


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
        self._ahead = self._empty_ahead()  # the windows that come next, side by side
        self._waiting_ends: list[RowEnd] = []

    def prepare(self, strips: Iterable[Strip]) -> Iterator[Prepared]:
        """Yield batches and row ends, in order, for strips of any height."""
        for grid_row in grid_rows(strips, self._grid):
            yield from self._prepare_row(grid_row)
        yield from self._send()

    def _prepare_row(self, grid_row: GridRow) -> Iterator[Prepared]:
        started = perf_counter_ns()
        pieces = [Piece(numbers, no_data_pixels(numbers)) for numbers in grid_row.pieces]
        columns = self._columns_with_data(pieces)
        start = stop = 0  # the columns of the scene that are quantised
        for column in columns:
            left = column * self._grid.stride
            right = left + self._grid.tile_size
            if right > stop:
                start, stop = left, left + self._ahead.shape[1]
                self._quantise_ahead(pieces, start)
            np.copyto(self._tiles[len(self._places)], self._ahead[:, left - start : right - start])
            self._places.append((grid_row.row, column))
            self._latencies.add("preparation", perf_counter_ns() - started)
            if len(self._places) == self._engine.batch:
                yield from self._send()
            started = perf_counter_ns()
        self._waiting_ends.append(self._row_end(grid_row.row, pieces, len(columns)))
        if not self._places:
            yield from self._send()

    def _quantise_ahead(self, pieces: Sequence[Piece], start: int) -> None:
        """Quantise the next windows, from scene column ``start`` on, as many as are liked at once.

        On the CPU a few: a whole row at once would let the queue run dry meanwhile.
        """
        stop = min(start + self._ahead.shape[1], self._grid.width)
        rows = sum(piece.rows for piece in pieces)
        numbers = [piece.digital_numbers[:, :, start:stop] for piece in pieces]
        self._quantise(numbers, self._ahead[:rows, : stop - start])
        self._ahead[rows:] = self._engine.no_reflectance
        self._ahead[:, stop - start :] = self._engine.no_reflectance

    def _columns_with_data(self, pieces: Sequence[Piece]) -> list[int]:
        """Grid columns whose window has a valid pixel."""
        holes = [piece.no_data for piece in pieces if piece.no_data is not None]
        if len(holes) < len(pieces):
            return list(range(self._grid.columns))
        empty = np.logical_and.reduce([hole.all(axis=0) for hole in holes])
        spans = ((column, self._grid.columns_of(column)) for column in range(self._grid.columns))
        return [column for column, span in spans if not empty[span.start : span.stop].all()]

    def _row_end(self, row: int, pieces: Sequence[Piece], tiles_with_data: int) -> RowEnd:
        finished, due = [], len(self._grid.finished_rows(row))
        for piece in pieces:
            if due > 0:
                finished.append(piece.top_rows(due))
            due -= piece.rows
        return RowEnd(row, tuple(finished), self._grid.columns - tiles_with_data)

    def _send(self) -> Iterator[Prepared]:
        if self._places:
            yield TileBatch(tuple(self._places), self._tiles[: len(self._places)])
            self._places = []
            self._tiles = self._new_batch()
        yield from self._waiting_ends
        self._waiting_ends = []

    def _empty_ahead(self) -> Tiles:
        side = self._grid.tile_size
        columns = min(self._quantise.windows or self._grid.columns, self._grid.columns)
        width = (columns - 1) * self._grid.stride + side
        return np.empty((side, width, len(self._engine.bands)), dtype=self._engine.tile_dtype)

    def _new_batch(self) -> Tiles:
        side = self._grid.tile_size
        shape = (self._engine.batch, side, side, len(self._engine.bands))
        return np.empty(shape, dtype=self._engine.tile_dtype)
