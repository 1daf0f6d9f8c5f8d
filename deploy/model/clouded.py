"""Real images under simulated clouds and their shadows, with the truth of both.

People traced the shadow of few images, and a teacher is least sure of shadow and of thin cloud.
Over ground that is known to be clear both can be simulated, and the truth is then exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from deploy.model.dataset import TAUGHT_CLASSES, Level, Tile
from telecommands.groundsim.scenes.atmosphere import (
    CLEAR,
    CLOUD_SHADOW,
    THICK_CLOUD,
    THIN_CLOUD,
    CloudLayers,
    surface_reflectance,
    top_of_atmosphere_reflectance,
)
from telecommands.groundsim.scenes.fractal import Window
from telecommands.groundsim.scenes.landscape import Illumination
from telecommands.groundsim.scenes.spectra import columns_of_bands

CLOUDED: Final = "clouded"
"""The region of all real images under simulated clouds."""

_CLASSES: Final = {
    "clear": (CLEAR,),
    "cloud": (THICK_CLOUD, THIN_CLOUD),
    "shadow": (CLOUD_SHADOW,),
}
_CLEAR_SHARE: Final = 0.8  # of an image, at least, for clouds to be put over it
_GUARD: Final = 3  # pixels around what is not clear that are left out, too
_FAINT: Final = 0.01  # change of reflectance in some band
_COVERS: Final = (0.03, 0.1, 0.2, 0.4)
_ZENITHS: Final = (22.0, 62.0)  # degrees, of the sun
_FINE_METRES: Final = 10  # a pixel of the simulated clouds
_CORRECTED_SHARE: Final = 0.5  # of L1C, as L2A: without the light of the air
_BASES: Final = (50.0, 300.0)  # pixels, of the clouds' height
_DIFFUSE: Final = {"l1c": (0.6, 1.2), "l2a": (0.25, 1.2)}
"""Light of the sky, as a share of that over the simulator's landscapes, by level.

Shadow that people traced in L2A has 0.11 to 0.44 of the near infrared of the ground around it
(``layton``), which is darker than physics allows: its correction removes light of the sky, too.
At the top of the atmosphere it has 0.3 to 0.6 (Landsat).
"""


def truth_of(classes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The taught classes ``(3, H, W)``, 0 or 1, of simulated classes ``(H, W)``."""
    return np.stack([np.isin(classes, _CLASSES[name]) for name in TAUGHT_CLASSES]).astype(
        np.float32
    )


def clouded_copies(
    tile: Tile, clear: NDArray[np.bool_], numbers: Iterable[int]
) -> Iterator[tuple[Tile, NDArray[np.float32]]]:
    """Yield ``tile`` under the simulated clouds of each number, and the truth ``(3, H, W)``.

    ``clear``, bool ``(H, W)``, are the pixels without cloud and shadow; the others, and three
    pixels around them, are not valid in what is yielded, nor is faint simulated cloud and shadow.
    Of an image that is less than four fifths clear nothing is yielded.
    """
    ground = _eroded(clear) & tile.valid
    if ground.sum() < _CLEAR_SHARE * tile.valid.sum():
        return
    for number in numbers:
        seen, classes, faint = _under_clouds(tile, number)
        truth = truth_of(classes)
        name = f"{tile.name} {CLOUDED} {number}"
        valid = ground & ~faint
        yield replace(seen, name=name, region=CLOUDED, valid=valid, allowed=truth), truth


def _under_clouds(tile: Tile, number: int) -> tuple[Tile, NDArray[np.uint8], NDArray[np.bool_]]:
    """The tile under clouds, half of those of L1C as L2A; simulated classes; and what is faint.

    ``number`` draws clouds, sun and level (L2A has no B10).  Faint is what the simulator calls
    clear, though cloud or shadow changes it: some people would outline it and some would not.
    """
    columns = columns_of_bands(tile.names)
    step = max(1, tile.ground_sample_distance // _FINE_METRES)
    height, width = (side * step for side in tile.valid.shape)
    draw = np.random.default_rng(number)
    corrected = "B10" not in tile.names and draw.random() < _CORRECTED_SHARE
    level: Level = "l2a" if corrected else tile.level
    clouds = CloudLayers(
        number,
        max(height, width),
        Illumination(draw.uniform(0, 360), draw.uniform(*_ZENITHS)),
        _COVERS[number % len(_COVERS)],
        base=float(np.exp(draw.uniform(*np.log(_BASES)))),
        diffuse=draw.uniform(*_DIFFUSE[level]),
    )
    surface = tile.bands if tile.level == "l2a" else surface_reflectance(tile.bands, columns)
    surface = surface.clip(0)
    seen, classes = clouds.cover(surface, Window(0, 0, height, width, step), columns)
    faint = (classes == CLEAR) & (np.abs(seen - surface).max(axis=0) > _FAINT)
    bands = seen if level == "l2a" else top_of_atmosphere_reflectance(seen, columns)
    return replace(tile, level=level, bands=bands), classes, faint


def _eroded(clear: NDArray[np.bool_]) -> NDArray[np.bool_]:
    side = 2 * _GUARD + 1
    return cv2.erode(clear.astype(np.uint8), np.ones((side, side), np.uint8)).astype(np.bool_)
