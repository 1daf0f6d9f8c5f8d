"""The reference's own loop: slice, run, update the mask, batch after batch in one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from time import perf_counter_ns
from typing import TypeAlias

import numpy as np

from flightsw.config import PipelineSettings
from flightsw.engines.engine import Engine, Tiles
from flightsw.host.real_time import real_time
from flightsw.pipeline.fusion import MaskFusion
from flightsw.pipeline.grid_spans import no_data_pixels
from flightsw.pipeline.latency import STAGES
from flightsw.pipeline.quantisation import open_quantiser, scene_tables
from flightsw.pipeline.surroundings import surround
from flightsw.scene.array_scene import ArrayScene
from flightsw.scene.tiling import Grid

Samples: TypeAlias = dict[str, list[int]]
"""Nanoseconds a tile by stage; a call's time is shared equally by its tiles."""

ProgressCallback: TypeAlias = Callable[[int, int], None]
"""Called with how many tiles are done, and of how many."""

_Place: TypeAlias = tuple[int, int]


class TileByTile:
    """Runs the tiles of a scene, from left to right and from top to bottom, through an engine."""

    def __init__(self, engine: Engine, scene: ArrayScene, settings: PipelineSettings) -> None:
        info, metadata = engine.info, scene.metadata
        self._engine = engine
        self._scene = scene
        self._grid = Grid(metadata.height, metadata.width, info.tile_size, info.stride)
        self._fusion = MaskFusion(self._grid, info, settings.fusion)
        self._quantise = open_quantiser(scene_tables(metadata, info), settings.device)
        shape = (info.batch, info.tile_size, info.tile_size, len(info.bands))
        self._tiles: Tiles = np.empty(shape, info.tile_dtype)

    def run(self, count: int, progress: ProgressCallback = lambda _done, _of: None) -> Samples:
        """Nanoseconds of ``count`` tiles, or a few more: every batch is filled.

        The first tile follows the last one of the scene.
        """
        samples: Samples = {stage: [] for stage in STAGES}
        done = 0
        with real_time(self._engine.info.thread_priority):
            for places in self._batches(count):
                for stage, nanoseconds in self._run(places).items():
                    samples[stage] += [nanoseconds // len(places)] * len(places)
                done += len(places)
                progress(min(done, count), count)
        return samples

    @property
    def tiles(self) -> int:
        """Windows of the scene."""
        return self._grid.rows * self._grid.columns

    def _run(self, places: Sequence[_Place]) -> dict[str, int]:
        started = perf_counter_ns()
        for tile, (row, column) in zip(self._tiles, places, strict=False):
            self._prepare(row, column, tile)
        ready = perf_counter_ns()
        answer = self._engine.infer(self._tiles[: len(places)])
        answered = perf_counter_ns()
        for logits, (row, column) in zip(answer, places, strict=True):
            self._fusion.add(row, column, logits)
            if column == self._grid.columns - 1:
                self._fusion.finish(row)
        updated = perf_counter_ns()
        return {
            "preparation": ready - started,
            "accelerator": answered - ready,
            "fusion": updated - answered,
        }

    def _prepare(self, row: int, column: int, tile: Tiles) -> None:
        rows, columns = self._rows(row), self._grid.columns_of(column)
        seen = self._scene.digital_numbers[:, rows.start : rows.stop, columns.start : columns.stop]
        self._quantise([seen], tile[: len(rows), : len(columns)])
        zero_is_measured = self._scene.metadata.zero_is_measured
        missing = no_data_pixels(seen, zero_is_measured=zero_is_measured)
        if missing is None or not missing.all():
            surround(tile, len(rows), len(columns), missing)

    def _rows(self, row: int) -> range:
        """The rows of a window among those that the scene holds; they repeat downwards."""
        held = self._scene.digital_numbers.shape[1]
        rows = self._grid.needed_rows(row)
        if rows.stop <= held:
            return rows
        top = rows.start % max(1, held - self._grid.tile_size + 1)
        return range(top, min(top + len(rows), held))

    def _batches(self, count: int) -> Iterator[list[_Place]]:
        rows, columns = range(self._grid.rows), range(self._grid.columns)
        places = cycle((row, column) for row in rows for column in columns)
        batch = self._engine.info.batch
        for _ in range(-(-count // batch)):
            yield list(islice(places, batch))
