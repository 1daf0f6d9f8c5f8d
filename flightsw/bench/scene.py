"""The tiles of a benchmark: a scene in memory, real or made of the package's golden tiles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flightsw.bench.reference import REFERENCE_TILES
from flightsw.config import PipelineSettings
from flightsw.model.package import ModelPackage
from flightsw.scene import open_scene
from flightsw.scene.scene import SceneMetadata, Strip
from flightsw.tiling import Grid

_STRIP_ROWS: Final = 1024
_COLUMNS: Final = 53
"""Windows from left to right in the reference's scene."""
_MOSAIC_ROWS: Final = 5
_OFFSET: Final = -1000
_QUANTIFICATION: Final = 10_000.0


@dataclass(frozen=True)
class MemoryScene:
    """A :class:`~flightsw.scene.scene.Scene` whose pixels are decoded already.

    ``digital_numbers`` uint16 ``(bands, rows, width)`` are repeated downwards until
    ``metadata.height``.
    """

    metadata: SceneMetadata
    digital_numbers: NDArray[np.uint16]

    @contextmanager
    def strips(self, workers: int) -> Iterator[Iterator[Strip]]:
        """Give the rows out in strips; there is nothing for ``workers`` to decode."""
        del workers
        yield self._strips()

    def _strips(self) -> Iterator[Strip]:
        rows, height = self.digital_numbers.shape[1], self.metadata.height
        top = 0
        while top < height:
            start = top % rows
            strip = self.digital_numbers[:, start : min(start + _STRIP_ROWS, rows)]
            strip = strip[:, : height - top]
            yield Strip(top, strip)
            top += strip.shape[1]

    def in_bands(self, bands: tuple[str, ...]) -> MemoryScene:
        """The same scene with its bands in another order, all of which it must have."""
        if bands == self.metadata.bands or not set(bands) <= set(self.metadata.bands):
            return self  # the pipeline refuses bands that are not there
        order = [self.metadata.bands.index(band) for band in bands]
        return MemoryScene(replace(self.metadata, bands=bands), self.digital_numbers[order])


def simulated_scene(package: ModelPackage, tiles: int) -> MemoryScene:
    """The golden tiles side by side, for at least ``tiles`` windows: real content, no decoding."""
    columns = min(_COLUMNS, tiles)
    width = (columns - 1) * package.stride + package.tile_size
    golden = golden_numbers(package)
    across = -(-width // package.tile_size)
    rows = [
        np.concatenate([golden[(row * 3 + at) % len(golden)] for at in range(across)], axis=2)
        for row in range(_MOSAIC_ROWS)
    ]
    numbers = np.ascontiguousarray(np.concatenate(rows, axis=1)[:, :, :width])
    grid_rows = -(-tiles // columns)
    height = (grid_rows - 1) * package.stride + package.tile_size
    return MemoryScene(_metadata(package, "golden tiles, repeated", height, width), numbers)


def read_scene(
    path: Path, package: ModelPackage, tiles: int, pipeline: PipelineSettings
) -> MemoryScene:
    """Decode the rows of a real scene that ``tiles`` windows need; a small scene is repeated.

    Raises :class:`~flightsw.errors.SceneError`.
    """
    scene = open_scene(path, package.bands, decoder=pipeline.decoder)
    told = scene.metadata
    grid = Grid(told.height, told.width, package.tile_size, package.stride)
    grid_rows = -(-tiles // grid.columns)
    if grid_rows == grid.rows:
        height = told.height
    else:
        height = (grid_rows - 1) * package.stride + package.tile_size
    numbers = np.empty((len(package.bands), min(height, told.height), told.width), np.uint16)
    with scene.strips(pipeline.decode_workers) as strips:
        for strip in strips:
            there = numbers[:, strip.top : strip.top + strip.digital_numbers.shape[1]]
            there[:] = strip.digital_numbers[:, : there.shape[1]]
            if strip.top + there.shape[1] >= numbers.shape[1]:
                break
    return MemoryScene(replace(told, height=height), numbers)


def golden_scenes(package: ModelPackage) -> list[MemoryScene]:
    """Each golden tile as a scene of its own, one window large."""
    side = package.tile_size
    return [
        MemoryScene(_metadata(package, f"golden tile {number}", side, side), numbers)
        for number, numbers in enumerate(golden_numbers(package))
    ]


def golden_numbers(package: ModelPackage) -> NDArray[np.uint16]:
    """Digital numbers uint16 ``(n, bands, tile, tile)`` that quantise to the golden tiles.

    None is 0: there is a valid pixel everywhere.
    """
    steps = package.golden_tiles().tiles.astype(np.float64) - package.input_zero_point
    numbers = np.rint(steps * package.input_scale * _QUANTIFICATION) - _OFFSET
    return np.ascontiguousarray(numbers.clip(1, 65_534).transpose(0, 3, 1, 2), dtype=np.uint16)


def reference_scenes(scene: SceneMetadata, package: ModelPackage) -> float:
    """How many scenes of the reference's 2,809 tiles this is, by its windows of the package."""
    grid = Grid(scene.height, scene.width, package.tile_size, package.stride)
    return grid.rows * grid.columns / REFERENCE_TILES


def _metadata(package: ModelPackage, name: str, height: int, width: int) -> SceneMetadata:
    return SceneMetadata(
        name=name,
        tile_id="",
        level=package.levels[0],
        baseline="05.10",
        bands=package.bands,
        offsets=dict.fromkeys(package.bands, _OFFSET),
        quantification=_QUANTIFICATION,
        height=height,
        width=width,
        ground_sample_distance=10,
    )
