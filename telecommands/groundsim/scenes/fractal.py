"""Fractal random fields over a scene of any size, computed a window at a time.

A field has the power spectrum ``k ** -slope``, as terrain, land cover and clouds
have.  Its long waves are on a coarse grid over the whole scene, its short waves
in a repeating texture; both are filtered noise, so that each window costs the
same and memory stays bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

MARGIN: Final = 640
"""Pixels around a scene for which a field is defined: clouds there cast shadows into it."""

_COARSE_STEP: Final = 16
_CROSSOVER: Final = 128.0  # wavelength in pixels that both grids carry well

Field = NDArray[np.float32]


@dataclass(frozen=True)
class Window:
    """A rectangle of scene pixels, of which every ``step``-th is selected."""

    top: int
    left: int
    height: int
    width: int
    step: int = 1

    def grown(self, margin: int) -> Window:
        """The window with ``margin`` more pixels on each side."""
        return Window(
            self.top - margin, self.left - margin, self.height + 2 * margin, self.width + 2 * margin
        )

    def moved(self, rows: int, columns: int) -> Window:
        """The window moved by so many rows and columns."""
        return Window(self.top + rows, self.left + columns, self.height, self.width, self.step)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Selected scene rows."""
        return np.arange(self.top, self.top + self.height, self.step)

    @property
    def columns(self) -> NDArray[np.int64]:
        """Selected scene columns."""
        return np.arange(self.left, self.left + self.width, self.step)


@dataclass(frozen=True)
class Spectrum:
    """Power falls as ``wavenumber ** -slope`` between two wavelengths in pixels.

    ``elongation`` above 1 stretches the pattern along ``direction`` (radians from
    the columns' direction).
    """

    slope: float
    shortest: float = 2.0
    longest: float = 1500.0
    elongation: float = 1.0
    direction: float = 0.0

    def amplitude(self, rows: int, columns: int, step: int) -> Field:
        """Filter for white noise on a grid of ``rows`` x ``columns``, ``step`` pixels apart."""
        down = np.fft.fftfreq(rows)[:, None] / step
        across = np.fft.rfftfreq(columns)[None, :] / step
        along = across * np.cos(self.direction) + down * np.sin(self.direction)
        beside = down * np.cos(self.direction) - across * np.sin(self.direction)
        squared = (along * self.elongation) ** 2 + beside**2
        floor = 1 / self.longest**2
        power = (squared + floor) ** (-self.slope / 2) * np.exp(-squared * self.shortest**2 / 2)
        power[squared < floor / 4] = 0  # no waves longer than ``longest``
        share = 1 / (1 + (squared * _CROSSOVER**2) ** 2)  # of the coarse grid
        power = power * (share if step > 1 else 1 - share) / step**2
        return np.asarray(np.sqrt(power), dtype=np.float32)


class FractalField:
    """A Gaussian random field of mean 0 and variance 1 over ``size`` x ``size`` pixels."""

    def __init__(self, seed: int, size: int, spectrum: Spectrum) -> None:
        noise = np.random.default_rng(seed)
        points = cv2.getOptimalDFTSize((size + 2 * MARGIN) // _COARSE_STEP + 4)
        period = 1024 if size <= 2048 else 2048
        coarse, coarse_power = _filtered(noise, points, spectrum, _COARSE_STEP)
        fine, fine_power = _filtered(noise, period, spectrum, 1)
        scale = np.float32(1 / np.sqrt(coarse_power + fine_power))
        self._coarse = coarse * scale
        self._fine = fine * scale

    def at(self, window: Window) -> Field:
        """float32 values at the window's pixels."""
        rows, columns = window.rows, window.columns
        stride = window.step / _COARSE_STEP
        offset = np.array(
            [
                [stride, 0, (window.left + MARGIN) / _COARSE_STEP],
                [0, stride, (window.top + MARGIN) / _COARSE_STEP],
            ]
        )
        upsampled = cv2.warpAffine(
            self._coarse,
            offset,
            (len(columns), len(rows)),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        waves = np.asarray(upsampled, dtype=np.float32)
        period = len(self._fine)
        waves += self._fine.take(rows % period, axis=0).take(columns % period, axis=1)
        return waves


def _filtered(
    noise: np.random.Generator, points: int, spectrum: Spectrum, step: int
) -> tuple[Field, float]:
    amplitude = spectrum.amplitude(points, points, step)
    white = noise.standard_normal((points, points), dtype=np.float32)
    field = np.fft.irfft2(np.fft.rfft2(white) * amplitude, s=white.shape)
    # Parseval over the half plane of a real transform
    power = float(2 * np.sum(amplitude.astype(np.float64) ** 2) / points**2)
    return np.asarray(field, dtype=np.float32), power
