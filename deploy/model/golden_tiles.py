"""Simulated tiles of every kind of surface: a network's answers to them identify it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from deploy.model.card_input import INPUT_SCALE
from deploy.model.dataset import in_order
from flightsw import sentinel_2

Reflectance = NDArray[np.float64]

# Reflectance of B02, B03, B04, B08, then of the other bands in their order (B01, B05, B06, B07,
# B8A, B09, B10, B11, B12): typical values, rounded.
_WATER: Final = (0.06, 0.05, 0.03, 0.02, 0.08, 0.03, 0.02, 0.02, 0.02, 0.01, 0.001, 0.01, 0.005)
_FOREST: Final = (0.03, 0.05, 0.03, 0.30, 0.03, 0.08, 0.22, 0.28, 0.31, 0.10, 0.001, 0.15, 0.07)
_SOIL: Final = (0.09, 0.12, 0.17, 0.26, 0.08, 0.20, 0.22, 0.24, 0.27, 0.09, 0.001, 0.34, 0.28)
_SNOW: Final = (0.85, 0.86, 0.84, 0.78, 0.84, 0.83, 0.82, 0.80, 0.75, 0.40, 0.01, 0.08, 0.06)
_CLOUD: Final = (0.62, 0.60, 0.59, 0.63, 0.63, 0.60, 0.61, 0.62, 0.63, 0.45, 0.05, 0.48, 0.36)
_HAZE: Final = (0.30, 0.28, 0.27, 0.36, 0.31, 0.29, 0.32, 0.34, 0.37, 0.20, 0.03, 0.28, 0.20)

_ORDER: Final = in_order(sentinel_2.BANDS)
_OCTAVES: Final = (4, 8, 16, 32)


def golden_tiles(side: int, bands: tuple[str, ...], seed: int = 20) -> dict[str, NDArray[np.int8]]:
    """Return named INT8 tiles ``(side, side, len(bands))`` in the order of ``bands``."""
    random = np.random.default_rng(seed)
    water, forest, soil, snow = (
        _textured(spectrum, side, random) for spectrum in (_WATER, _FOREST, _SOIL, _SNOW)
    )
    farmland = np.where(_patches(side, random)[..., None], soil, forest)
    coast = np.where((_relief(side, random) > 0.5)[..., None], farmland, water)
    ridges = np.where((_relief(side, random) > 0.6)[..., None], snow, forest)
    overcast = _textured(_CLOUD, side, random)
    half = np.zeros_like(farmland)
    half[:, side // 2 :] = farmland[:, side // 2 :]
    scenes = {
        "no data": np.zeros_like(farmland),
        "open water": water,
        "farmland": farmland,
        "coast": coast,
        "snow": snow,
        "ridges": ridges,
        "overcast": overcast,
        "broken cloud over farmland": _clouded(farmland, _CLOUD, 0.55, side, random),
        "broken cloud over water": _clouded(water, _CLOUD, 0.6, side, random),
        "haze over coast": _clouded(coast, _HAZE, 0.45, side, random),
        "cloud over snow": _clouded(ridges, _CLOUD, 0.5, side, random),
        "cloud at the scene's edge": _clouded(half, _CLOUD, 0.6, side, random) * (half > 0),
        "saturated": np.full_like(farmland, 2.0),
    }
    order = [_ORDER.index(band) for band in bands]
    return {name: _as_int8(scene[..., order]) for name, scene in scenes.items()}


def _as_int8(reflectance: Reflectance) -> NDArray[np.int8]:
    steps: Reflectance = np.rint(reflectance / INPUT_SCALE).clip(0, 255)
    return (steps - 128).astype(np.int8)


def _textured(spectrum: tuple[float, ...], side: int, random: np.random.Generator) -> Reflectance:
    """A surface of one kind, brighter and darker by a fifth."""
    light = (0.8 + 0.4 * _relief(side, random))[..., None]
    return np.asarray(light * np.array(spectrum))


def _clouded(
    ground: Reflectance,
    spectrum: tuple[float, ...],
    cover: float,
    side: int,
    random: np.random.Generator,
) -> Reflectance:
    """Cloud with soft edges over ``ground``, and its shadow one tenth of the tile further on."""
    opacity = np.clip((_relief(side, random) - cover) / 0.08, 0, 1)[..., None]
    shift = side // 10
    shadow = np.roll(opacity, (shift, shift), axis=(0, 1))
    lit = ground * (1 - 0.6 * shadow)
    return lit * (1 - opacity) + _textured(spectrum, side, random) * opacity


def _patches(side: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """Fields of an eighth of the tile."""
    fields = random.random((8, 8)) > 0.5
    return np.kron(fields, np.ones((side // 8, side // 8))).astype(bool)


def _relief(side: int, random: np.random.Generator) -> Reflectance:
    """Smooth noise of several octaves, stretched to 0 to 1."""
    total = np.zeros((side, side))
    for cells in _OCTAVES:
        total += _stretched(random.random((cells + 1, cells + 1)), side) / cells
    total -= total.min()
    return np.asarray(total / total.max())


def _stretched(grid: Reflectance, side: int) -> Reflectance:
    """Bilinear interpolation of a square grid to ``side`` pixels."""
    places = np.linspace(0, len(grid) - 1, side, endpoint=False)
    lower = places.astype(int)
    part = places - lower
    rows = grid[lower] * (1 - part)[:, None] + grid[lower + 1] * part[:, None]
    return np.asarray(rows[:, lower] * (1 - part) + rows[:, lower + 1] * part)
