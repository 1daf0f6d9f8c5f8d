"""The land under the clouds: surface reflectance of relief, land cover and water.

Reflectances are those of Sentinel-2 L2A scenes of temperate farmland, forest and
towns in summer (medians of real tiles, rounded).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from telecommands.groundsim.scenes.fractal import Field, FractalField, Spectrum, Window
from telecommands.groundsim.scenes.parcels import (
    Blocks,
    Parcels,
    blocks,
    coordinates,
    mixed,
    parcels,
    unit,
)

# B02, B03, B04, B08 of each cover.
_GRASS: Final = (0.040, 0.072, 0.048, 0.330)
_SHRUB: Final = (0.052, 0.078, 0.075, 0.250)
_BROADLEAF: Final = (0.024, 0.044, 0.027, 0.270)
_CONIFER: Final = (0.018, 0.029, 0.019, 0.175)
_ROAD: Final = (0.085, 0.097, 0.105, 0.165)
_DEEP_WATER: Final = (0.030, 0.036, 0.022, 0.012)
_TURBID_WATER: Final = (0.052, 0.070, 0.058, 0.022)
_CROPS: Final = np.array(
    [
        (0.030, 0.062, 0.033, 0.430),  # full canopy
        (0.036, 0.066, 0.043, 0.360),
        (0.044, 0.074, 0.058, 0.290),  # pasture
        (0.050, 0.078, 0.075, 0.260),
        (0.066, 0.096, 0.108, 0.265),  # ripe cereal
        (0.078, 0.108, 0.130, 0.270),  # stubble
        (0.074, 0.098, 0.120, 0.215),  # bare soil
        (0.095, 0.124, 0.152, 0.245),  # pale soil
        (0.060, 0.077, 0.092, 0.170),  # moist soil
    ],
    dtype=np.float32,
)
_ROOFS: Final = np.array(
    [
        (0.060, 0.075, 0.095, 0.190),  # tiles
        (0.095, 0.105, 0.115, 0.160),  # gravel
        (0.150, 0.160, 0.165, 0.200),  # sheet metal
        (0.045, 0.055, 0.055, 0.120),  # asphalt
        (0.038, 0.060, 0.045, 0.300),  # gardens
        (0.036, 0.058, 0.042, 0.260),
    ],
    dtype=np.float32,
)

# Share of the roughness in each band, so that leaves show most in the near infrared.
_ROUGHNESS: Final = (0.75, 0.85, 1.0, 0.85)


@dataclass(frozen=True)
class Illumination:
    """Position of the sun: degrees clockwise from north, and from the zenith."""

    azimuth: float
    zenith: float


class Landscape:
    """Surface reflectance of a square scene; the same seed gives the same land."""

    def __init__(self, seed: int, size: int, sun: Illumination) -> None:
        self._seed = seed
        self._sun = sun
        spectra = {
            "relief": Spectrum(slope=4.2, shortest=80, longest=1400),
            "cover": Spectrum(slope=2.9, shortest=3, longest=700),
            "moisture": Spectrum(slope=3.5, shortest=30, longest=900),
            "river": Spectrum(slope=3.8, shortest=24, longest=1600),
            "bend": Spectrum(slope=3.8, shortest=24, longest=1200),
            "grain": Spectrum(slope=1.1, shortest=1.2, longest=48),
        }
        self._fields = {
            name: FractalField(seed * 101 + index, size, spectrum)
            for index, (name, spectrum) in enumerate(spectra.items())
        }

    def reflectance(self, window: Window, detail: float = 1.0) -> Field:
        """float32 ``(4, height, width)`` of B02, B03, B04, B08 at the window's pixels.

        ``detail`` multiplies the roughness at the scale of pixels.
        """
        wide = window.grown(4)
        field = {name: source.at(wide) for name, source in self._fields.items()}
        x, y = coordinates(wide, 30 * field["river"], 30 * field["bend"])
        block = blocks(self._seed, x, y)
        parcel = parcels(block, x, y)

        ground = _mix(_GRASS, _SHRUB, _soft(field["moisture"], 0.0, 0.8))
        farmland = (field["relief"] < 0.7) & (unit(block.name, 7) < 0.85)
        _paint(ground, farmland, _crops(parcel, field["bend"]))
        hedge = farmland & (parcel.edge < 0.8) & (unit(block.name, 8) < 0.35)
        _paint(ground, hedge, _mix(_BROADLEAF, _GRASS, 0.3))

        wooded = field["cover"] + 0.5 * np.maximum(field["relief"], 0) > 1.05
        conifers = _soft(field["relief"] + 0.4 * field["moisture"], 0.4, 0.15)
        _paint(ground, wooded, _mix(_BROADLEAF, _CONIFER, conifers))
        self._build_towns(ground, block, x, y)
        _paint(ground, block.edge < 0.75, _mix(_ROAD))

        roughness = field["grain"] * np.where(wooded, 0.15, 0.07) * np.float32(detail)
        shade = np.clip(1 + self._slope_towards_sun(field["relief"]), 0.55, 1.4)
        shade *= 1 + 0.06 * field["moisture"]
        share = np.array(_ROUGHNESS, np.float32)[:, None, None]
        ground *= np.clip((1 + share * roughness) * shade, 0.3, 2.2)
        self._flood(ground, field["river"], field["relief"], field["cover"])
        return ground[:, 4:-4, 4:-4]

    def _slope_towards_sun(self, relief: Field) -> Field:
        """Relative gain of light, from the slope of a relief of about 70 m standard deviation."""
        east = cv2.Sobel(relief, cv2.CV_32F, 1, 0, scale=1 / 8)
        south = cv2.Sobel(relief, cv2.CV_32F, 0, 1, scale=1 / 8)
        azimuth = np.radians(self._sun.azimuth)
        facing = -(east * np.sin(azimuth) - south * np.cos(azimuth))
        metres_a_pixel = 70 / 10
        gain: Field = facing * np.float32(metres_a_pixel * np.tan(np.radians(self._sun.zenith)))
        return gain

    def _build_towns(self, ground: Field, block: Blocks, x: Field, y: Field) -> None:
        """Houses in the centre of some blocks, fewer towards their edges."""
        turn = unit(block.name, 3) * np.float32(np.pi)
        cosine, sine = np.cos(turn), np.sin(turn)
        house = mixed(
            self._seed,
            np.floor((x * cosine + y * sine) / 2.6),
            np.floor((y * cosine - x * sine) / 3.4),
        )
        density = np.where(unit(block.name, 9) < 0.12, _soft(block.edge, 25, 18), 0)
        built = unit(house, 1) < 0.9 * density
        roofs = _ROOFS[(unit(house, 2) ** 0.8 * len(_ROOFS)).astype(np.intp)]
        _paint(ground, built, np.moveaxis(roofs, -1, 0) * (0.8 + 0.4 * unit(house, 3)))

    def _flood(self, ground: Field, river: Field, relief: Field, cover: Field) -> None:
        """Rivers along the zero line of a smooth field, lakes in its deepest hollows."""
        across = cv2.Sobel(river, cv2.CV_32F, 1, 0, scale=1 / 8)
        down = cv2.Sobel(river, cv2.CV_32F, 0, 1, scale=1 / 8)
        distance = np.abs(river + 0.02 * cover) / np.sqrt(across**2 + down**2 + 1e-6)
        reach = 5.5 * (1 - np.clip(relief, -0.5, 1.2))
        wet = np.maximum(_soft(-distance, -reach, 0.6), _soft(river - 0.12 * relief, 1.75, 0.01))
        wet = np.where(reach > 0, wet, 0)
        water = _mix(_DEEP_WATER, _TURBID_WATER, _soft(0.6 * cover - river, 0.2, 0.6))
        ground += wet * (water - ground)


def _crops(parcel: Parcels, moisture: Field) -> Field:
    """Each field has one crop, with drill rows and its own vigour."""
    greenness = np.clip(unit(parcel.name, 1) + 0.16 * moisture, 0, 0.999)
    crop = _CROPS[(greenness * len(_CROPS)).astype(np.intp)]
    vigour = 0.9 + 0.25 * unit(parcel.name, 2)
    rows = 1 + 0.008 * np.sin(parcel.along * 25) * (unit(parcel.name, 3) < 0.4)
    painted: Field = np.moveaxis(crop, -1, 0) * (vigour * rows).astype(np.float32)
    return painted


def _mix(
    first: tuple[float, ...], second: tuple[float, ...] = (), share: Field | float = 0
) -> Field:
    """Spectra ``(4, ...)`` between those of two covers."""
    start = np.array(first, dtype=np.float32)[:, None, None]
    end = np.array(second or first, dtype=np.float32)[:, None, None]
    return np.asarray(start + share * (end - start), dtype=np.float32)


def _paint(ground: Field, mask: NDArray[np.bool_], spectra: Field) -> None:
    np.copyto(ground, spectra.astype(np.float32, copy=False), where=mask)


def _soft(value: Field, threshold: Field | float, width: float) -> Field:
    """Rise from 0 to 1 around a threshold."""
    return np.asarray(1 / (1 + np.exp(np.clip((threshold - value) / width, -30, 30))), np.float32)
