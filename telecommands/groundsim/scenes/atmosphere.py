"""Clouds, their shadows and the atmosphere between ground and camera."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from telecommands.groundsim.scenes.fractal import Field, FractalField, Spectrum, Window
from telecommands.groundsim.scenes.landscape import Illumination
from telecommands.groundsim.scenes.spectra import (
    CLOUD_COLOUR,
    DIRECT,
    FINE,
    PATH,
    TRANSMITTANCE,
    Columns,
    planes,
)

CLEAR: Final = 0
THICK_CLOUD: Final = 1
THIN_CLOUD: Final = 2
CLOUD_SHADOW: Final = 3
NO_DATA: Final = 255

_THIN_OPACITY: Final = 0.2
_THICK_OPACITY: Final = 0.6
_NOTABLE_DARKENING: Final = 0.015  # reflectance lost in the band that loses most
_NOTABLE_SHADOW: Final = 0.2  # blocked fraction of the direct sunlight

_VEIL_RARITY: Final = 0.6  # standard deviations rarer than the heaped clouds
_CUMULUS_BASE: Final = 140.0  # pixels of 10 m


class CloudLayers:
    """Clouds over a square scene.

    ``cover`` is 0..1 of the pixels, without shadows; ``base`` is the height of the heaped clouds
    in pixels of 10 m; ``diffuse`` scales the light of the sky, which is all that lights a shadow.
    """

    def __init__(
        self,
        seed: int,
        size: int,
        sun: Illumination,
        cover: float,
        base: float = _CUMULUS_BASE,
        diffuse: float = 1.0,
    ) -> None:
        self._sun = sun
        self._base = base
        self._diffuse = diffuse
        wind = float(np.random.default_rng(seed).uniform(0, np.pi))
        spectra = (
            Spectrum(slope=3.3, shortest=4, longest=1000, elongation=1.3, direction=wind),
            Spectrum(slope=3.1, shortest=6, longest=1600, elongation=2.0, direction=wind),
            Spectrum(slope=2.9, shortest=8, longest=120),
        )
        self._cumulus, self._veil, self._lobes = (
            FractalField(seed * 101 + 50 + index, size, spectrum)
            for index, spectrum in enumerate(spectra)
        )
        self._threshold = self._threshold_for(cover, size)

    def _clouds(self, window: Window) -> tuple[Field, Field]:
        """Opacity 0..1 of the clouds at the window's pixels, seen from above, and reflectance."""
        opacity, depth = self._opacity(window, self._threshold)
        lobes = self._lobes.at(window)
        lit = cv2.Sobel(cv2.GaussianBlur(depth, (0, 0), 3.0), cv2.CV_32F, 1, 0, scale=1 / 8)
        relief = np.clip(1 + 0.02 * lobes - 0.06 * np.clip(lit, -2, 2), 0.7, 1.25)
        white = (0.36 + 0.52 * (1 - np.exp(-depth / 5))) * relief
        return opacity, np.clip(white, 0.3, 1.3).astype(np.float32)

    def cover(
        self, ground: Field, window: Window, columns: Columns = FINE
    ) -> tuple[Field, NDArray[np.uint8]]:
        """Reflectance ``(bands, height, width)`` seen through the clouds, and the truth uint8.

        The truth is that of these bands: shadow is what they see darkened.
        """
        opacity, white = self._clouds(window)
        shadow = self._shadow(window)
        direct = planes(DIRECT, columns)
        direct = direct + (1 - self._diffuse) * (1 - direct)
        shaded = ground * (1 - direct * shadow)
        darkening = (ground - shaded).max(axis=0)
        colour = planes(CLOUD_COLOUR, columns)
        seen = shaded + opacity * (white * colour - shaded)
        return seen, _labels(opacity, shadow, darkening)

    def _shadow(self, window: Window) -> Field:
        """Fraction of the direct light that clouds towards the sun block."""
        reach = self._base * np.tan(np.radians(self._sun.zenith))
        azimuth = np.radians(self._sun.azimuth)
        east, south = reach * np.sin(azimuth), -reach * np.cos(azimuth)
        towards_sun = window.moved(round(south), round(east))
        opacity = 1 - np.exp(-self._depth(towards_sun, self._threshold))
        return np.asarray(cv2.GaussianBlur(opacity, (0, 0), 1.6), dtype=np.float32)

    def _depth(self, window: Window, threshold: float) -> Field:
        """Optical depth of the heaped clouds."""
        heaps = np.maximum(self._cumulus.at(window) - np.float32(threshold), 0)
        return np.asarray(np.minimum(8 * heaps**1.2, 40), dtype=np.float32)

    def _opacity(self, window: Window, threshold: float) -> tuple[Field, Field]:
        """Opacity of both layers together, and optical depth of the heaped clouds."""
        depth = self._depth(window, threshold)
        veil = np.maximum(self._veil.at(window) - np.float32(threshold + _VEIL_RARITY), 0)
        thin = 0.6 * (1 - np.exp(-3.5 * veil))
        return 1 - (1 - thin) * np.exp(-depth), depth

    def _threshold_for(self, cover: float, size: int) -> float:
        """The threshold for the requested fraction of pixels under cloud, by bisection."""
        if cover <= 0:
            return 1e3
        whole = Window(0, 0, size, size, step=max(1, size // 512))
        low, high = -12.0, 8.0
        for _ in range(24):
            middle = (low + high) / 2
            opacity, _depth = self._opacity(whole, middle)
            too_cloudy = (opacity > _THIN_OPACITY).mean() > cover
            low, high = (middle, high) if too_cloudy else (low, middle)
        return low if cover >= 1 else (low + high) / 2


def top_of_atmosphere_reflectance(surface: Field, columns: Columns = FINE) -> Field:
    """Top-of-atmosphere reflectance (L1C) of a surface ``(bands, ...)``, from L2A reflectance."""
    return np.asarray(planes(PATH, columns) + surface * planes(TRANSMITTANCE, columns))


def surface_reflectance(seen: Field, columns: Columns = FINE) -> Field:
    """Surface reflectance (L2A) of what is seen at the top of the atmosphere (L1C), at least 0."""
    return np.asarray(((seen - planes(PATH, columns)) / planes(TRANSMITTANCE, columns)).clip(0))


def _labels(opacity: Field, shadow: Field, darkening: Field) -> NDArray[np.uint8]:
    """Classes as a person would outline them: with smooth edges."""
    cloud = cv2.GaussianBlur(opacity, (0, 0), 1.2)
    darker = cv2.GaussianBlur(darkening, (0, 0), 1.2)
    truth = np.full(shadow.shape, CLEAR, dtype=np.uint8)
    truth[(shadow > _NOTABLE_SHADOW) & (darker > _NOTABLE_DARKENING)] = CLOUD_SHADOW
    truth[cloud > _THIN_OPACITY] = THIN_CLOUD
    truth[cloud > _THICK_OPACITY] = THICK_CLOUD
    return truth
