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

from deploy.model.dataset import TAUGHT_CLASSES, Tile
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
_COVERS: Final = (0.03, 0.1, 0.2, 0.4)
_ZENITHS: Final = (22.0, 62.0)  # degrees, of the sun
_FINE_METRES: Final = 10  # a pixel of the simulated clouds


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
    pixels around them, are not valid in what is yielded.  Of an image that is less than four
    fifths clear nothing is yielded.
    """
    ground = _eroded(clear) & tile.valid
    if ground.sum() < _CLEAR_SHARE * tile.valid.sum():
        return
    for number in numbers:
        bands, classes = _under_clouds(tile, number)
        truth = truth_of(classes)
        name = f"{tile.name} {CLOUDED} {number}"
        yield (
            replace(tile, name=name, region=CLOUDED, bands=bands, valid=ground, allowed=truth),
            truth,
        )


def _under_clouds(tile: Tile, number: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Reflectance at the tile's level and simulated classes; ``number`` draws cloud and sun."""
    columns = columns_of_bands(tile.names)
    step = max(1, tile.ground_sample_distance // _FINE_METRES)
    height, width = (side * step for side in tile.valid.shape)
    draw = np.random.default_rng(number)
    sun = Illumination(draw.uniform(0, 360), draw.uniform(*_ZENITHS))
    clouds = CloudLayers(number, max(height, width), sun, _COVERS[number % len(_COVERS)])
    at_surface = tile.level == "l2a"
    surface = tile.bands.clip(0) if at_surface else surface_reflectance(tile.bands, columns)
    seen, classes = clouds.cover(surface, Window(0, 0, height, width, step), columns)
    return (seen if at_surface else top_of_atmosphere_reflectance(seen, columns)), classes


def _eroded(clear: NDArray[np.bool_]) -> NDArray[np.bool_]:
    side = 2 * _GUARD + 1
    return cv2.erode(clear.astype(np.uint8), np.ones((side, side), np.uint8)).astype(np.bool_)
