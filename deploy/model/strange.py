"""Scenes that no network here was taught: real images with a fault, and simulated grounds.

Reflectance of any bands but B09 and B10 in and out.  The spectra are typical values, rounded: sea
ice and salt after Warren (2019, "Optical properties of ice and snow") and field spectra of salt
flats, ash and smoke as flat and as blue layers; short-wave infrared goes through smoke.  Nothing
simulated here shows how a real scene of its kind would be answered; it shows whether the
histograms of one are noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from flightsw.errors import UsageError

Bands = NDArray[np.float32]
Names = tuple[str, ...]
Fault = Callable[[Bands, Names, np.random.Generator], Bands]
"""An image's bands, their names, and what draws the fault's extent; raises :class:`UsageError`."""

_OFFSET: Final = 0.1  # 1,000 DN
_SATURATED: Final = 6.5535  # DN 65,535

_CENTRES: Final[Mapping[str, float]] = {
    "B01": 443, "B02": 492, "B03": 560, "B04": 665, "B05": 704, "B06": 741, "B07": 783,
    "B08": 833, "B8A": 865, "B11": 1614, "B12": 2202,
}  # fmt: skip
"""Nanometres of Sentinel-2A (Sentinel-2 user handbook, rounded); of the atmosphere's B09 and B10
no layer of the ground is known."""

_KNOTS: Final = tuple(_CENTRES[band] for band in ("B02", "B03", "B04", "B08", "B11", "B12"))
"""Where the spectra are given; straight lines lie between."""

_WHITE_ICE: Final = (0.72, 0.71, 0.67, 0.58, 0.10, 0.06)
_GREY_ICE: Final = (0.42, 0.40, 0.35, 0.24, 0.03, 0.02)
_LEAD: Final = (0.09, 0.07, 0.045, 0.03, 0.01, 0.01)
_SALT: Final = (0.48, 0.54, 0.59, 0.63, 0.55, 0.45)
_WET_SALT: Final = (0.30, 0.33, 0.34, 0.27, 0.10, 0.05)
_ASH: Final = (0.115, 0.12, 0.125, 0.135, 0.15, 0.155)
_SMOKE: Final = (0.24, 0.20, 0.165, 0.20, 0.12, 0.08)

_OPAQUE: Final = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
_OPAQUE_SMOKE: Final = (1.0, 1.0, 1.0, 1.0, 0.15, 0.1)


def offset_twice(bands: Bands, _names: Names, _random: np.random.Generator) -> Bands:
    """The offset of -1,000 DN, subtracted from numbers that have it applied."""
    return np.asarray(bands - np.float32(_OFFSET))


def offset_missing(bands: Bands, _names: Names, _random: np.random.Generator) -> Bands:
    """The offset of -1,000 DN, not applied."""
    return np.asarray(bands + np.float32(_OFFSET))


def wrong_gain(bands: Bands, _names: Names, random: np.random.Generator) -> Bands:
    """Reflectance times 3 to 5: a wrong quantification value, or a gain of the sensor."""
    return np.asarray(bands * np.float32(random.uniform(3, 5)))


def saturated(bands: Bands, _names: Names, random: np.random.Generator) -> Bands:
    """Patches of a third to two thirds of the scene hold DN 65,535 in all bands."""
    relief = _relief(bands.shape[1:], random)
    return np.where(relief < np.quantile(relief, random.uniform(1 / 3, 2 / 3)), _SATURATED, bands)


def sea_ice(bands: Bands, names: Names, random: np.random.Generator) -> Bands:
    """White and grey floes with leads of open water, in place of the ground."""
    relief, shape = _relief(bands.shape[1:], random), bands.shape[1:]
    water, grey = np.quantile(relief, [random.uniform(0.02, 0.2), random.uniform(0.3, 0.6)])
    ground = _layer(_WHITE_ICE, names, shape, random, 0.06)
    ground = np.where(relief < grey, _layer(_GREY_ICE, names, shape, random, 0.15), ground)
    return np.where(relief < water, _layer(_LEAD, names, shape, random, 0.1), ground).astype(
        np.float32
    )


def salt_flat(bands: Bands, names: Names, random: np.random.Generator) -> Bands:
    """Dry salt with wet patches, in place of the ground."""
    relief, shape = _relief(bands.shape[1:], random), bands.shape[1:]
    wet = np.quantile(relief, random.uniform(0, 0.3))
    ground = np.where(
        relief < wet,
        _layer(_WET_SALT, names, shape, random, 0.1),
        _layer(_SALT, names, shape, random, 0.05),
    )
    return np.asarray(ground * random.uniform(0.85, 1.15), np.float32)


def ash(bands: Bands, names: Names, random: np.random.Generator) -> Bands:
    """A dense plume of volcanic ash over at least half of the image."""
    return _plume(bands, names, _ASH, _OPAQUE, random)


def smoke(bands: Bands, names: Names, random: np.random.Generator) -> Bands:
    """A dense plume of smoke over at least half of the image."""
    return _plume(bands, names, _SMOKE, _OPAQUE_SMOKE, random)


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


def _plume(
    bands: Bands,
    names: Names,
    spectrum: tuple[float, ...],
    opaque: tuple[float, ...],
    random: np.random.Generator,
) -> Bands:
    relief = _relief(bands.shape[1:], random)
    edge = np.quantile(relief, random.uniform(0, 0.5))
    opacity = np.clip((relief - edge) / 0.1, 0, 1) * random.uniform(0.7, 1)
    opacity = _of_bands(opaque, names) * opacity
    layer = _layer(spectrum, names, bands.shape[1:], random, 0.1) * random.uniform(0.8, 1.3)
    return np.asarray(bands * (1 - opacity) + layer * opacity, np.float32)


def _layer(
    spectrum: tuple[float, ...],
    names: Names,
    shape: tuple[int, ...],
    random: np.random.Generator,
    spread: float,
) -> Bands:
    """One surface, brighter and darker by ``spread``."""
    light = 1 + spread * (2 * _relief(shape, random) - 1)
    return np.asarray(light * _of_bands(spectrum, names), np.float32)


def _of_bands(spectrum: tuple[float, ...], names: Names) -> NDArray[np.float64]:
    """The spectrum at the bands ``(C, 1, 1)``."""
    if unknown := [band for band in names if band not in _CENTRES]:
        cause = f"have {', '.join(unknown)}, which ice, salt, ash and smoke do not show"
        raise UsageError("the bands", cause, "Leave the package without experience")
    return np.interp([_CENTRES[band] for band in names], _KNOTS, spectrum)[:, None, None]


def _relief(shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float64]:
    """Smooth noise of several octaves, 0 to 1."""
    height, width = shape
    total = np.zeros(shape)
    for cells in (3, 6, 12, 24, 48):
        noise = random.random((cells, cells))
        total += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) / cells
    total -= total.min()
    return np.asarray(total / total.max())
