"""Renders any window of a scene from land, atmosphere, swath and detector."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from telecommands.groundsim.scenes.atmosphere import (
    NO_DATA,
    CloudLayers,
    top_of_atmosphere_reflectance,
)
from telecommands.groundsim.scenes.fractal import Field, Window
from telecommands.groundsim.scenes.landscape import Illumination, Landscape
from telecommands.groundsim.scenes.product_names import Level
from telecommands.groundsim.scenes.radiometry import Detector, gain_for
from telecommands.groundsim.scenes.spectra import FINE, Columns, columns_of
from telecommands.groundsim.scenes.swath import Swath

# Pixels: the instrument passes 0.15 to 0.3 of the contrast at two pixels a wave,
# and the resampling to the map grid takes its share.
_POINT_SPREAD: Final = 0.6
_FINE_METRES: Final = 10
_FRINGE: Final = 12  # pixels beyond a window that the blurs of the clouds need
_SAMPLE: Final = 256  # side in pixels of the patches that set the noise
_DETAIL: Final = (0.4, 1.4)  # limits that keep land recognisable with any noise
_PLACES: Final = ((0.2, 0.15), (0.2, 0.6), (0.5, 0.4), (0.75, 0.1), (0.8, 0.65))


@dataclass(frozen=True)
class SceneGenerator:
    """Renders windows of one scene.  It has no state, so that threads may share it."""

    seed: int
    level: Level
    landscape: Landscape
    clouds: CloudLayers
    swath: Swath
    detector: Detector

    def render(self, window: Window) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
        """Digital numbers ``(4, height, width)`` and truth ``(height, width)`` of a window."""
        reflectance, truth = self.reflectance(window)
        noise = np.random.default_rng((self.seed, window.top, window.left))
        numbers = self.detector.digital_numbers(reflectance, noise)
        valid = self.swath.valid(window)
        truth[~valid] = NO_DATA
        return numbers * valid, truth

    def render_coarser(self, window: Window, distance: int) -> NDArray[np.uint16]:
        """Digital numbers ``(bands, height, width)`` of the bands measured at 20 or 60 metres.

        ``window`` counts their own pixels, each of which sees the mean of the area that it covers.
        """
        factor = distance // _FINE_METRES
        place = (window.top, window.left, window.height, window.width)
        fine = Window(*(edge * factor for edge in place))
        reflectance, _ = self.reflectance(fine, columns_of(distance))
        noise = np.random.default_rng((self.seed, distance, window.top, window.left))
        numbers = self.detector.digital_numbers(_area_means(reflectance, factor), noise)
        valid = self.swath.valid(fine).reshape(window.height, factor, window.width, factor)
        return numbers * valid.all(axis=(1, 3))

    def reflectance(
        self, window: Window, columns: Columns = FINE
    ) -> tuple[Field, NDArray[np.uint8]]:
        """Noiseless reflectance at the product's level, and the truth without the swath edge."""
        low, high = _DETAIL
        detail = min(max(self.detector.gain**0.5, low), high)
        wide = window.grown(_FRINGE)
        ground = self.landscape.reflectance(wide, detail, columns)
        reflectance, truth = self.clouds.cover(ground, wide, columns)
        inside = slice(_FRINGE, -_FRINGE)
        blurred = np.stack([cv2.GaussianBlur(band, (0, 0), _POINT_SPREAD) for band in reflectance])
        reflectance, truth = blurred[:, inside, inside], truth[inside, inside]
        if self.level == "L1C":
            reflectance = top_of_atmosphere_reflectance(reflectance, columns)
        return reflectance, truth


def _area_means(fine: Field, factor: int) -> Field:
    """Means of squares of ``factor`` pixels a side."""
    bands, height, width = fine.shape
    squares = fine.reshape(bands, height // factor, factor, width // factor, factor)
    return np.asarray(squares.mean(axis=(2, 4)), np.float32)


def build_generator(
    *, seed: int, size: int, level: Level, offset: int, cloud_cover: float, edge: bool, bits: float
) -> tuple[SceneGenerator, Illumination]:
    """Build the generator of a scene of ``bits`` per pixel, and the position of its sun."""
    draw = np.random.default_rng(seed)
    azimuth, zenith = draw.uniform(140, 165), draw.uniform(28, 48)
    sun = Illumination(round(float(azimuth), 3), round(float(zenith), 3))
    generator = SceneGenerator(
        seed,
        level,
        Landscape(seed, size, sun),
        CloudLayers(seed, size, sun, cloud_cover),
        Swath(size, edge),
        Detector(offset),
    )
    side = min(_SAMPLE, size)
    corners = [(int(down * (size - side)), int(right * (size - side))) for down, right in _PLACES]

    def patches(gain: float) -> list[Field]:
        attempt = replace(generator, detector=Detector(offset, gain))
        return [attempt.reflectance(Window(top, left, side, side))[0] for top, left in corners]

    found = gain_for(bits / generator.swath.share, patches, offset, seed)
    return replace(generator, detector=Detector(offset, found)), sun
