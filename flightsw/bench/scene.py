"""The tiles of a benchmark: a scene in memory, real or made of the package's golden tiles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flightsw.bench.reference import REFERENCE_TILES
from flightsw.chain import panels_help
from flightsw.config import PipelineSettings
from flightsw.model.package import ModelPackage
from flightsw.scene import open_scene
from flightsw.scene.array_scene import USUAL_OFFSET, ArrayScene
from flightsw.scene.metadata import USUAL_QUANTIFICATION
from flightsw.scene.scene import SceneMetadata
from flightsw.scene.strips import COLUMNS_WANTED
from flightsw.scene.tiling import Grid

_COLUMNS: Final = 53
"""Windows from left to right in the reference's scene."""
_MOSAIC_ROWS: Final = 5


def simulated_scene(package: ModelPackage, tiles: int) -> ArrayScene:
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
    scene = _scene(package, "golden tiles, repeated", numbers)
    metadata = replace(scene.metadata, height=height)
    return replace(scene, metadata=metadata, columns=_columns(package))


def read_scene(
    path: Path, package: ModelPackage, tiles: int, pipeline: PipelineSettings
) -> ArrayScene:
    """Decode the rows of a real scene that ``tiles`` windows need; a small scene is repeated.

    Raises :class:`~flightsw.errors.SceneError`.
    """
    scene = open_scene(path, package.bands, decoder=pipeline.decoder)
    known = scene.metadata
    grid = Grid(known.height, known.width, package.tile_size, package.stride)
    grid_rows = -(-tiles // grid.columns)
    if grid_rows == grid.rows:
        height = known.height
    else:
        height = (grid_rows - 1) * package.stride + package.tile_size
    numbers = np.empty((len(package.bands), min(height, known.height), known.width), np.uint16)
    with scene.strips(pipeline.decode_workers) as strips:
        for strip in strips:
            target = numbers[:, strip.top : strip.top + strip.digital_numbers.shape[1]]
            target[:] = strip.digital_numbers[:, : target.shape[1]]
            if strip.top + target.shape[1] >= numbers.shape[1]:
                break
    return ArrayScene(replace(known, height=height), numbers, _columns(package))


def golden_scenes(package: ModelPackage) -> list[ArrayScene]:
    """Each golden tile as a scene that is one window large."""
    return [
        _scene(package, f"golden tile {number}", numbers)
        for number, numbers in enumerate(golden_numbers(package))
    ]


def golden_numbers(package: ModelPackage) -> NDArray[np.uint16]:
    """Digital numbers uint16 ``(n, bands, tile, tile)`` that quantise to the golden tiles.

    No number is 0: every pixel is valid.
    """
    steps = package.golden_tiles().tiles.astype(np.float64) - package.input.zero_point
    numbers = np.rint(steps * package.input.scale * USUAL_QUANTIFICATION) - USUAL_OFFSET
    return np.ascontiguousarray(numbers.clip(1, 65_534).transpose(0, 3, 1, 2), dtype=np.uint16)


def reference_scenes(scene: SceneMetadata, package: ModelPackage) -> float:
    """How many scenes of the reference's 2,809 tiles this is, by its windows of the package."""
    grid = Grid(scene.height, scene.width, package.tile_size, package.stride)
    return grid.rows * grid.columns / REFERENCE_TILES


def _columns(package: ModelPackage) -> int | None:
    return COLUMNS_WANTED if panels_help((), package.classes) else None


def _scene(package: ModelPackage, name: str, numbers: NDArray[np.uint16]) -> ArrayScene:
    return ArrayScene.from_digital_numbers(numbers, package.bands, offset=USUAL_OFFSET, name=name)
