"""The tiles of a benchmark: a scene in memory, real or made of the package's golden tiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flightsw.bench.reference import REFERENCE_TILES
from flightsw.chain import panels_help
from flightsw.config import PipelineSettings
from flightsw.model.package import ModelPackage
from flightsw.scene import open_scene
from flightsw.scene.scene import SceneMetadata, Strip
from flightsw.scene.strips import COLUMNS_WANTED, ROWS_WANTED, STRIPS_AT_ONCE
from flightsw.scene.tiling import Grid

_STRIP_ROWS: Final = ROWS_WANTED // STRIPS_AT_ONCE
_COLUMNS: Final = 53
"""Windows from left to right in the reference's scene."""
_MOSAIC_ROWS: Final = 5
_OFFSET: Final = -1000
_QUANTIFICATION: Final = 10_000.0


@dataclass(frozen=True)
class MemoryScene:
    """A :class:`~flightsw.scene.scene.Scene` whose pixels are decoded already.

    ``digital_numbers`` uint16 ``(bands, rows, width)`` are repeated downwards until
    ``metadata.height``.  They come in panels of so many ``columns``, in strips as high as those
    of a decode.
    """

    metadata: SceneMetadata
    digital_numbers: NDArray[np.uint16]
    columns: int = COLUMNS_WANTED

    @contextmanager
    def strips(self, workers: int) -> Iterator[Iterator[Strip]]:
        """Give strips out, contiguous as a decode's; there is nothing for ``workers`` to decode."""
        del workers
        lefts = range(0, self.metadata.width, self.columns)
        yield self._strips(
            {
                left: np.ascontiguousarray(self.digital_numbers[:, :, left : left + self.columns])
                for left in lefts
            }
        )

    def _strips(self, panels: Mapping[int, NDArray[np.uint16]]) -> Iterator[Strip]:
        held, height = self.digital_numbers.shape[1], self.metadata.height
        for top in range(0, height, ROWS_WANTED):
            for left, panel in panels.items():
                for rows in _strip_rows(top, min(top + ROWS_WANTED, height), held):
                    start = rows.start % held
                    yield Strip(rows.start, panel[:, start : start + len(rows)], left=left)

    def in_bands(self, bands: tuple[str, ...]) -> MemoryScene:
        """The same scene with its bands in another order, all of which it must have."""
        if bands == self.metadata.bands or not set(bands) <= set(self.metadata.bands):
            return self  # the pipeline refuses bands that are not there
        order = [self.metadata.bands.index(band) for band in bands]
        told = replace(self.metadata, bands=bands)
        return replace(self, metadata=told, digital_numbers=self.digital_numbers[order])


def _strip_rows(top: int, bottom: int, held: int) -> Iterator[range]:
    """The strips of a decode; none goes beyond the last of the rows that are ``held``."""
    while top < bottom:
        end = min(top + _STRIP_ROWS, bottom, (top // held + 1) * held)
        yield range(top, end)
        top = end


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
    told = _metadata(package, "golden tiles, repeated", height, width)
    return MemoryScene(told, numbers, _columns(package, width))


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
    return MemoryScene(replace(told, height=height), numbers, _columns(package, told.width))


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


def _columns(package: ModelPackage, width: int) -> int:
    return COLUMNS_WANTED if panels_help((), package.classes) else width


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
