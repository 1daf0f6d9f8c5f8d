"""The land under the clouds: surface reflectance of relief, land cover and water."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from telecommands.groundsim.scenes.fractal import Field, FractalField, Spectrum, Window
from telecommands.groundsim.scenes.parcels import (
    Blocks,
    Parcels,
    blocks,
    coordinates,
    hash_of,
    parcels,
    unit,
)
from telecommands.groundsim.scenes.spectra import (
    BROADLEAF,
    CONIFER,
    CROPS,
    DEEP_WATER,
    FINE,
    GRASS,
    ROAD,
    ROOFS,
    ROUGHNESS,
    SHRUB,
    TURBID_WATER,
    Columns,
    planes,
)


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

    def reflectance(self, window: Window, detail: float = 1.0, columns: Columns = FINE) -> Field:
        """float32 ``(bands, height, width)`` of the ``columns`` of spectra at the window's pixels.

        ``detail`` multiplies the roughness at the scale of pixels.
        """
        wide = window.grown(4)
        field = {name: source.at(wide) for name, source in self._fields.items()}
        x, y = coordinates(wide, 30 * field["river"], 30 * field["bend"])
        block = blocks(self._seed, x, y)
        parcel = parcels(block, x, y)

        ground = _mix(columns, GRASS, SHRUB, _soft(field["moisture"], 0.0, 0.8))
        farmland = (field["relief"] < 0.7) & (unit(block.name, 7) < 0.85)
        _paint(ground, farmland, _crops(columns, parcel, field["bend"]))
        hedge = farmland & (parcel.edge < 0.8) & (unit(block.name, 8) < 0.35)
        _paint(ground, hedge, _mix(columns, BROADLEAF, GRASS, 0.3))

        wooded = field["cover"] + 0.5 * np.maximum(field["relief"], 0) > 1.05
        conifers = _soft(field["relief"] + 0.4 * field["moisture"], 0.4, 0.15)
        _paint(ground, wooded, _mix(columns, BROADLEAF, CONIFER, conifers))
        self._build_towns(ground, block, x, y, columns)
        _paint(ground, block.edge < 0.75, _mix(columns, ROAD))

        roughness = field["grain"] * np.where(wooded, 0.15, 0.07) * np.float32(detail)
        shade = np.clip(1 + self._slope_towards_sun(field["relief"]), 0.55, 1.4)
        shade *= 1 + 0.06 * field["moisture"]
        share = planes(ROUGHNESS, columns)
        ground *= np.clip((1 + share * roughness) * shade, 0.3, 2.2)
        self._flood(ground, field["river"], field["relief"], field["cover"], columns)
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

    def _build_towns(
        self, ground: Field, block: Blocks, x: Field, y: Field, columns: Columns
    ) -> None:
        """Houses in the centre of some blocks, fewer towards their edges."""
        turn = unit(block.name, 3) * np.float32(np.pi)
        cosine, sine = np.cos(turn), np.sin(turn)
        house = hash_of(
            self._seed,
            np.floor((x * cosine + y * sine) / 2.6),
            np.floor((y * cosine - x * sine) / 3.4),
        )
        density = np.where(unit(block.name, 9) < 0.12, _soft(block.edge, 25, 18), 0)
        built = unit(house, 1) < 0.9 * density
        roofs = ROOFS[:, columns][(unit(house, 2) ** 0.8 * len(ROOFS)).astype(np.intp)]
        _paint(ground, built, np.moveaxis(roofs, -1, 0) * (0.8 + 0.4 * unit(house, 3)))

    def _flood(
        self, ground: Field, river: Field, relief: Field, cover: Field, columns: Columns
    ) -> None:
        """Rivers along the zero line of a smooth field, lakes in its deepest hollows."""
        across = cv2.Sobel(river, cv2.CV_32F, 1, 0, scale=1 / 8)
        down = cv2.Sobel(river, cv2.CV_32F, 0, 1, scale=1 / 8)
        distance = np.abs(river + 0.02 * cover) / np.sqrt(across**2 + down**2 + 1e-6)
        reach = 5.5 * (1 - np.clip(relief, -0.5, 1.2))
        wet = np.maximum(_soft(-distance, -reach, 0.6), _soft(river - 0.12 * relief, 1.75, 0.01))
        wet = np.where(reach > 0, wet, 0)
        water = _mix(columns, DEEP_WATER, TURBID_WATER, _soft(0.6 * cover - river, 0.2, 0.6))
        ground += wet * (water - ground)


def _crops(columns: Columns, parcel: Parcels, moisture: Field) -> Field:
    """Each field has one crop, with drill rows and its own vigour."""
    greenness = np.clip(unit(parcel.name, 1) + 0.16 * moisture, 0, 0.999)
    crop = CROPS[:, columns][(greenness * len(CROPS)).astype(np.intp)]
    vigour = 0.9 + 0.25 * unit(parcel.name, 2)
    rows = 1 + 0.008 * np.sin(parcel.along * 25) * (unit(parcel.name, 3) < 0.4)
    painted: Field = np.moveaxis(crop, -1, 0) * (vigour * rows).astype(np.float32)
    return painted


def _mix(
    columns: Columns,
    first: tuple[float, ...],
    second: tuple[float, ...] = (),
    share: Field | float = 0,
) -> Field:
    """Spectra ``(bands, ...)`` between those of two covers."""
    start, end = planes(first, columns), planes(second or first, columns)
    return np.asarray(start + share * (end - start), dtype=np.float32)


def _paint(ground: Field, mask: NDArray[np.bool_], spectra: Field) -> None:
    np.copyto(ground, spectra.astype(np.float32, copy=False), where=mask)


def _soft(value: Field, threshold: Field | float, width: float) -> Field:
    """Rise from 0 to 1 around a threshold."""
    return np.asarray(1 / (1 + np.exp(np.clip((threshold - value) / width, -30, 30))), np.float32)
