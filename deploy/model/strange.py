"""Scenes that no network here was taught: real images with a fault, and simulated grounds.

Reflectance of B02, B03, B04, B08 in and out.  The spectra are typical values, rounded: sea ice and
salt after Warren (2019, "Optical properties of ice and snow") and field spectra of salt flats, ash
and smoke as flat and as blue layers.  Nothing simulated here shows how a real scene of its kind
would be answered; it shows whether the histograms of one are noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Bands = NDArray[np.float32]
Fault = Callable[[Bands, np.random.Generator], Bands]

_OFFSET: Final = 0.1  # 1,000 DN
_SATURATED: Final = 6.5535  # DN 65,535

_WHITE_ICE: Final = (0.72, 0.71, 0.67, 0.58)
_GREY_ICE: Final = (0.42, 0.40, 0.35, 0.24)
_LEAD: Final = (0.09, 0.07, 0.045, 0.03)
_SALT: Final = (0.48, 0.54, 0.59, 0.63)
_WET_SALT: Final = (0.30, 0.33, 0.34, 0.27)
_ASH: Final = (0.115, 0.12, 0.125, 0.135)
_SMOKE: Final = (0.24, 0.20, 0.165, 0.20)


def offset_twice(bands: Bands, _random: np.random.Generator) -> Bands:
    """The offset of -1,000 DN, subtracted from numbers that have it applied."""
    return np.asarray(bands - np.float32(_OFFSET))


def offset_missing(bands: Bands, _random: np.random.Generator) -> Bands:
    """The offset of -1,000 DN, not applied."""
    return np.asarray(bands + np.float32(_OFFSET))


def wrong_gain(bands: Bands, random: np.random.Generator) -> Bands:
    """Reflectance times 3 to 5: a wrong quantification value, or a gain of the sensor."""
    return np.asarray(bands * np.float32(random.uniform(3, 5)))


def saturated(bands: Bands, random: np.random.Generator) -> Bands:
    """Patches of a third to two thirds of the scene hold DN 65,535 in all bands."""
    relief = _relief(bands.shape[1:], random)
    return np.where(relief < np.quantile(relief, random.uniform(1 / 3, 2 / 3)), _SATURATED, bands)


def sea_ice(bands: Bands, random: np.random.Generator) -> Bands:
    """White and grey floes with leads of open water, in place of the ground."""
    relief, shape = _relief(bands.shape[1:], random), bands.shape[1:]
    water, grey = np.quantile(relief, [random.uniform(0.02, 0.2), random.uniform(0.3, 0.6)])
    ground = _layer(_WHITE_ICE, shape, random, 0.06)
    ground = np.where(relief < grey, _layer(_GREY_ICE, shape, random, 0.15), ground)
    return np.where(relief < water, _layer(_LEAD, shape, random, 0.1), ground).astype(np.float32)


def salt_flat(bands: Bands, random: np.random.Generator) -> Bands:
    """Dry salt with wet patches, in place of the ground."""
    relief, shape = _relief(bands.shape[1:], random), bands.shape[1:]
    wet = np.quantile(relief, random.uniform(0, 0.3))
    ground = np.where(
        relief < wet, _layer(_WET_SALT, shape, random, 0.1), _layer(_SALT, shape, random, 0.05)
    )
    return np.asarray(ground * random.uniform(0.85, 1.15), np.float32)


def ash(bands: Bands, random: np.random.Generator) -> Bands:
    """A dense plume of volcanic ash over at least half of the image."""
    return _plume(bands, _ASH, random)


def smoke(bands: Bands, random: np.random.Generator) -> Bands:
    """A dense plume of smoke over at least half of the image."""
    return _plume(bands, _SMOKE, random)


FAULTS: Final[Mapping[str, Fault]] = MappingProxyType(
    {
        "offset applied twice": offset_twice,
        "offset not applied": offset_missing,
        "reflectance times 3 to 5": wrong_gain,
        "saturated, a third to two thirds": saturated,
        "sea ice": sea_ice,
        "salt flat": salt_flat,
        "volcanic ash": ash,
        "smoke": smoke,
    }
)
"""What makes a scene strange, by a name for people."""


def _plume(bands: Bands, spectrum: tuple[float, ...], random: np.random.Generator) -> Bands:
    relief = _relief(bands.shape[1:], random)
    edge = np.quantile(relief, random.uniform(0, 0.5))
    opacity = np.clip((relief - edge) / 0.1, 0, 1) * random.uniform(0.7, 1)
    layer = _layer(spectrum, bands.shape[1:], random, 0.1) * random.uniform(0.8, 1.3)
    return np.asarray(bands * (1 - opacity) + layer * opacity, np.float32)


def _layer(
    spectrum: tuple[float, ...], shape: tuple[int, ...], random: np.random.Generator, spread: float
) -> Bands:
    """One surface, brighter and darker by ``spread``."""
    light = 1 + spread * (2 * _relief(shape, random) - 1)
    return np.asarray(light * np.array(spectrum)[:, None, None], np.float32)


def _relief(shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float64]:
    """Smooth noise of several octaves, 0 to 1."""
    height, width = shape
    total = np.zeros(shape)
    for cells in (3, 6, 12, 24, 48):
        noise = random.random((cells, cells))
        total += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) / cells
    total -= total.min()
    return np.asarray(total / total.max())
