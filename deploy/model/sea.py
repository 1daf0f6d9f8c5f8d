"""Simulated sea, from calm to glinting: the dark ground that is taken for shadow most easily.

Sunglint adds nearly the same reflectance to all bands, so that water looks as grey as ground in
shadow; whitecaps are small and white (Cox and Munk 1954; Kay and others 2009, "Sun glint
correction of high and low spatial resolution images").
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from deploy.model.dataset import BANDS, TAUGHT_CLASSES, Level, Tile
from telecommands.groundsim.scenes.atmosphere import top_of_atmosphere_reflectance
from telecommands.groundsim.scenes.fractal import FractalField, Spectrum, Window
from telecommands.groundsim.scenes.spectra import (
    CLEAR_OCEAN,
    DEEP_WATER,
    TURBID_WATER,
    columns_of_bands,
    planes,
)

SEA: Final = "simulated_sea"
"""The region of all simulated sea."""

SIDE: Final = 480
"""Pixels a side of a tile of sea."""

_WATERS: Final = ((CLEAR_OCEAN, DEEP_WATER), (DEEP_WATER, TURBID_WATER))
_DARKNESS: Final = (0.4, 1.3)  # times the water's own reflectance
_MOST_GLINT: Final = 0.08
_MOST_WHITECAPS: Final = 4e-4  # of the pixels
_NOISE: Final = 0.0008


def sea_tiles(count: int, seed: int = 1, bands: tuple[str, ...] = BANDS) -> Iterator[Tile]:
    """Yield ``count`` clear tiles at 10 m, of both levels in turn."""
    levels: tuple[Level, ...] = ("l1c",) if "B10" in bands else ("l1c", "l2a")
    columns = columns_of_bands(bands)
    for number in range(count):
        level = levels[number % len(levels)]
        waters = [planes(water, columns) for water in _WATERS[number // 2 % len(_WATERS)]]
        surface = _sea(1000 * seed + number, *waters)
        allowed = np.zeros((len(TAUGHT_CLASSES), SIDE, SIDE), np.float32)
        allowed[TAUGHT_CLASSES.index("clear")] = 1
        yield Tile(
            name=f"{SEA}_{number:03d}",
            region=SEA,
            level=level,
            ground_sample_distance=10,
            names=bands,
            bands=top_of_atmosphere_reflectance(surface, columns) if level == "l1c" else surface,
            valid=np.ones((SIDE, SIDE), np.bool_),
            allowed=allowed,
        )


def _sea(
    seed: int, clearer: NDArray[np.float32], more_turbid: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Surface reflectance ``(bands, SIDE, SIDE)`` of one sea."""
    draw = np.random.default_rng(seed)
    area = Window(0, 0, SIDE, SIDE)
    wind = float(draw.uniform(0, np.pi))
    patches, waves = (
        FractalField(2 * seed + index, SIDE, spectrum).at(area)
        for index, spectrum in enumerate(
            (
                Spectrum(slope=3.0, shortest=20, longest=1500),
                Spectrum(slope=2.0, shortest=2, longest=40, elongation=1.6, direction=wind),
            )
        )
    )
    share = draw.uniform(0, 0.5)
    water = ((1 - share) * clearer + share * more_turbid) * draw.uniform(*_DARKNESS)
    glint = _MOST_GLINT * draw.random() ** 2 * np.exp(0.35 * patches + draw.uniform(0, 0.4) * waves)
    caps = (draw.random((SIDE, SIDE)) < _MOST_WHITECAPS * draw.random() ** 2).astype(np.float32)
    foam = cv2.GaussianBlur(caps * draw.uniform(0.5, 3), (0, 0), 0.7)
    noise = draw.normal(0, _NOISE, (len(water), SIDE, SIDE))
    return np.asarray((water + glint + foam + noise).clip(0), np.float32)
