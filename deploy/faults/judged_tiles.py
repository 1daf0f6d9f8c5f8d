"""Tiles on which a flipped bit is judged: simulated ones, and real ones if they are there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flightsw.model.package import ModelPackage
from flightsw.pipeline.fusion import contamination_margin
from flightsw.pipeline.quantisation import CpuQuantiser, quantisation_table
from telecommands.groundsim.scenes.fractal import Window
from telecommands.groundsim.scenes.generator import build_generator
from telecommands.groundsim.scenes.radiometry import OFFSET

_FOLDER: Final = Path(__file__).resolve().parents[3] / "shared/data/tiles"
_REAL: Final = _FOLDER / "sen12mscr_l1c.npz"
_IMAGES: Final = ("cloudn", "cmask", "ebiederstadt", "eotdl", "s1f11", "yashgupta")
_EVERY: Final = 16  # of its 192 tiles
_COVERS: Final = (0.4, 0.7)


@dataclass(frozen=True)
class JudgedTile:
    """Digital numbers uint16 ``(bands, rows, columns)`` and the tables int8 ``(bands, 65536)``."""

    name: str
    numbers: NDArray[np.uint16]
    tables: NDArray[np.int8]

    def quantised(self) -> NDArray[np.int8]:
        """What the engine takes: int8 ``(rows, columns, bands)``."""
        bands, rows, columns = self.numbers.shape
        tile = np.empty((rows, columns, bands), np.int8)
        CpuQuantiser(self.tables)([self.numbers], tile)
        return tile


def judged_tiles(package: ModelPackage) -> Iterator[JudgedTile]:
    """Eight simulated tiles, and twelve real ones (SEN12MS-CR) if they are beside the project.

    The package must take B02, B03, B04 and B08.
    """
    side = package.tile_size
    for cover in _COVERS:
        generator, _ = build_generator(
            seed=1, size=2 * side, level="L2A", offset=OFFSET, cloud_cover=cover, edge=False,
            bits=7.0,
        )  # fmt: skip
        for top, left in product((0, side), repeat=2):
            numbers, _ = generator.render(Window(top, left, side, side))
            yield JudgedTile(f"simulated {cover} {top} {left}", numbers, _tables(package, OFFSET))
    if _REAL.exists():
        with np.load(_REAL) as real:
            for numbers, name in zip(real["bands"][::_EVERY], real["name"][::_EVERY], strict=True):
                inside = np.ascontiguousarray(numbers[: len(package.bands), :side, :side])
                yield JudgedTile(str(name), inside, _tables(package, 0))


def judged_scenes(package: ModelPackage, *, real: bool = True) -> Iterator[JudgedTile]:
    """Scenes of several tiles: three simulated ones, and real ones if they are there and wanted."""
    size = package.tile_size + 2 * package.stride
    for cover in (0.2, *_COVERS):
        generator, _ = build_generator(
            seed=2, size=size, level="L2A", offset=OFFSET, cloud_cover=cover, edge=False, bits=7.0
        )
        numbers, _ = generator.render(Window(0, 0, size, size))
        yield JudgedTile(f"simulated {cover}", numbers, _tables(package, OFFSET))
    paths = sorted(_FOLDER.glob("*.npz")) if real else ()
    for path in paths:
        if path.stem.startswith(_IMAGES):
            with np.load(path) as arrays:
                yield JudgedTile(path.stem, arrays["bands"], _tables(package, 0))


def mask_of(logits: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Contaminated pixels of INT8 logits ``(..., 2)``."""
    mask: NDArray[np.bool_] = contamination_margin(logits) > 0
    return mask


def _tables(package: ModelPackage, offset: int) -> NDArray[np.int8]:
    scale, zero_point = package.input.as_pair()
    table = quantisation_table(offset, package.quantification, scale, zero_point)
    return np.stack([table] * len(package.bands))
