"""The spectra of land, cloud and air in all bands, grouped by the distance they are measured at.

Reflectances are those of Sentinel-2 L2A scenes of temperate farmland, forest and towns in summer:
medians of real tiles for the bands at 10 m, rounded; those of the other bands are typical values of
spectral libraries.  B10 sees high cloud alone: its ground is lost in the air above.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from telecommands.groundsim.scenes.product_names import BANDS, COARSER_BANDS

Columns = slice | list[int]
"""Bands in a table of this module: those of one distance, or any."""

FINE: Final[Columns] = slice(0, len(BANDS))

# B02, B03, B04, B08; B05, B06, B07, B8A, B11, B12; B01, B09, B10.
GRASS: Final = (
    0.040, 0.072, 0.048, 0.330, 0.105, 0.255, 0.310, 0.345, 0.205, 0.105, 0.032, 0.330, 0.1,
)  # fmt: skip
SHRUB: Final = (
    0.052, 0.078, 0.075, 0.250, 0.125, 0.205, 0.235, 0.265, 0.245, 0.160, 0.042, 0.260, 0.1,
)  # fmt: skip
BROADLEAF: Final = (
    0.024, 0.044, 0.027, 0.270, 0.070, 0.200, 0.250, 0.285, 0.140, 0.062, 0.020, 0.275, 0.1,
)  # fmt: skip
CONIFER: Final = (
    0.018, 0.029, 0.019, 0.175, 0.043, 0.125, 0.160, 0.185, 0.085, 0.038, 0.016, 0.180, 0.1,
)  # fmt: skip
ROAD: Final = (
    0.085, 0.097, 0.105, 0.165, 0.125, 0.140, 0.150, 0.170, 0.200, 0.180, 0.075, 0.170, 0.1,
)  # fmt: skip
CLEAR_OCEAN: Final = (
    0.028, 0.011, 0.004, 0.001, 0.003, 0.002, 0.002, 0.001, 0.0005, 0.0005, 0.034, 0.001, 0.1,
)  # fmt: skip
DEEP_WATER: Final = (
    0.030, 0.036, 0.022, 0.012, 0.018, 0.014, 0.013, 0.010, 0.005, 0.004, 0.034, 0.010, 0.1,
)  # fmt: skip
TURBID_WATER: Final = (
    0.052, 0.070, 0.058, 0.022, 0.050, 0.028, 0.026, 0.018, 0.008, 0.006, 0.050, 0.018, 0.1,
)  # fmt: skip
CROPS: Final = np.array(
    [
        # full canopy
        (0.030, 0.062, 0.033, 0.430, 0.085, 0.320, 0.405, 0.445, 0.185, 0.085, 0.024, 0.425, 0.1),
        (0.036, 0.066, 0.043, 0.360, 0.095, 0.270, 0.335, 0.375, 0.195, 0.098, 0.029, 0.360, 0.1),
        # pasture
        (0.044, 0.074, 0.058, 0.290, 0.110, 0.225, 0.270, 0.305, 0.220, 0.125, 0.035, 0.290, 0.1),
        (0.050, 0.078, 0.075, 0.260, 0.122, 0.210, 0.245, 0.275, 0.240, 0.155, 0.040, 0.265, 0.1),
        # ripe cereal
        (0.066, 0.096, 0.108, 0.265, 0.150, 0.215, 0.245, 0.280, 0.320, 0.225, 0.053, 0.275, 0.1),
        # stubble
        (0.078, 0.108, 0.130, 0.270, 0.170, 0.215, 0.245, 0.285, 0.350, 0.265, 0.062, 0.280, 0.1),
        # bare soil
        (0.074, 0.098, 0.120, 0.215, 0.145, 0.170, 0.190, 0.220, 0.280, 0.235, 0.060, 0.220, 0.1),
        # pale soil
        (0.095, 0.124, 0.152, 0.245, 0.180, 0.200, 0.220, 0.250, 0.330, 0.285, 0.078, 0.250, 0.1),
        # moist soil
        (0.060, 0.077, 0.092, 0.170, 0.112, 0.135, 0.150, 0.175, 0.190, 0.150, 0.050, 0.175, 0.1),
    ],
    dtype=np.float32,
)
ROOFS: Final = np.array(
    [
        # tiles
        (0.060, 0.075, 0.095, 0.190, 0.135, 0.160, 0.175, 0.195, 0.240, 0.210, 0.050, 0.195, 0.1),
        # gravel
        (0.095, 0.105, 0.115, 0.160, 0.130, 0.140, 0.150, 0.165, 0.190, 0.175, 0.085, 0.165, 0.1),
        # sheet metal
        (0.150, 0.160, 0.165, 0.200, 0.175, 0.180, 0.190, 0.205, 0.220, 0.210, 0.140, 0.205, 0.1),
        # asphalt
        (0.045, 0.055, 0.055, 0.120, 0.075, 0.095, 0.105, 0.125, 0.140, 0.125, 0.038, 0.125, 0.1),
        # gardens
        (0.038, 0.060, 0.045, 0.300, 0.095, 0.230, 0.280, 0.310, 0.185, 0.095, 0.032, 0.300, 0.1),
        (0.036, 0.058, 0.042, 0.260, 0.088, 0.205, 0.245, 0.270, 0.170, 0.088, 0.030, 0.262, 0.1),
    ],
    dtype=np.float32,
)

# Share of the roughness in each band, so that leaves show most in the near infrared.
ROUGHNESS: Final = (
    0.75, 0.85, 1.0, 0.85, 0.95, 0.85, 0.85, 0.85, 1.0, 1.0, 0.7, 0.85, 0.0,
)  # fmt: skip
# Ice and water absorb beyond a micrometre; water vapour lies below clouds, not above them.
CLOUD_COLOUR: Final = (
    1.0, 0.985, 0.975, 0.98, 0.975, 0.975, 0.98, 0.98, 0.72, 0.55, 1.0, 1.5, 3.0,
)  # fmt: skip
# Share of the light that comes straight from the sun, by band: the sky lights
# the shadows, and more so in the blue.
DIRECT: Final = (
    0.48, 0.56, 0.60, 0.77, 0.66, 0.71, 0.74, 0.78, 0.92, 0.95, 0.44, 0.80, 0.90,
)  # fmt: skip
# Path reflectance and two-way transmittance of clean air, which L2A has removed.
PATH: Final = (
    0.072, 0.043, 0.024, 0.009, 0.018, 0.014, 0.011, 0.008, 0.001, 0.0005, 0.100, 0.004, 0.001,
)  # fmt: skip
TRANSMITTANCE: Final = (
    0.84, 0.88, 0.92, 0.95, 0.92, 0.93, 0.94, 0.95, 0.93, 0.92, 0.80, 0.35, 0.01,
)  # fmt: skip

_ORDER: Final = (*BANDS, *(band for bands in COARSER_BANDS.values() for band in bands))


def columns_of(distance: int) -> Columns:
    """The columns of the tables with the bands that are measured at 10, 20 or 60 metres."""
    bands: Mapping[int, tuple[str, ...]] = {10: BANDS, **COARSER_BANDS}
    first = _ORDER.index(bands[distance][0])
    return slice(first, first + len(bands[distance]))


def columns_of_bands(bands: Iterable[str]) -> Columns:
    """The columns of the tables with these bands, in their order."""
    return [_ORDER.index(band) for band in bands]


def path_reflectance(bands: tuple[str, ...]) -> NDArray[np.float32]:
    """Path reflectance of clean air, float32 ``(bands, 1, 1)``."""
    return planes(PATH, columns_of_bands(bands))


def planes(spectrum: tuple[float, ...], columns: Columns) -> NDArray[np.float32]:
    """The bands of a spectrum, float32 ``(bands, 1, 1)``."""
    return np.array(spectrum, dtype=np.float32)[columns, None, None]
