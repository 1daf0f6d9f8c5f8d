"""From reflectance to digital numbers: sensor noise, offset, and the bit rate of the noise."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from telecommands.groundsim.scenes.fractal import Field
from telecommands.groundsim.scenes.jp2_writer import LARGEST_DIGITAL_NUMBER, BandWriter

QUANTIFICATION: Final = 10_000
OFFSET: Final = -1000

# Noise in digital numbers: a floor, and photon noise that reaches 13 at a
# reflectance of 0.2 (signal-to-noise ratio about 150, the instrument's requirement).
_NOISE_FLOOR: Final = 6.0
_PHOTON_NOISE: Final = 13.0
_PHOTON_REFERENCE: Final = 0.2
_GAINS: Final = (0.05, 6.0)


@dataclass(frozen=True)
class Detector:
    """``offset`` is the product's (0 or -1000); ``gain`` multiplies the noise."""

    offset: int
    gain: float = 1.0

    def digital_numbers(self, reflectance: Field, noise: np.random.Generator) -> NDArray[np.uint16]:
        """uint16 of the shape of ``reflectance``; valid pixels are never 0."""
        signal = np.maximum(reflectance, 0)
        sigma = self.gain * np.sqrt(
            _NOISE_FLOOR**2 + (_PHOTON_NOISE**2 / _PHOTON_REFERENCE) * signal, dtype=np.float32
        )
        sigma *= noise.standard_normal(reflectance.shape, dtype=np.float32)
        numbers = np.rint(reflectance * np.float32(QUANTIFICATION) + sigma) - self.offset
        return np.asarray(np.clip(numbers, 1, LARGEST_DIGITAL_NUMBER), dtype=np.uint16)


def gain_for(
    bits: float, samples: Callable[[float], Sequence[Field]], offset: int, seed: int
) -> float:
    """The gain at which the samples cost ``bits`` per pixel, as the mean of the four bands.

    ``samples`` gives square patches ``(4, side, side)`` of noiseless reflectance for
    a gain.  Doubling strong noise costs one bit; the search narrows from there.
    """
    low, high = (float(np.log2(gain)) for gain in _GAINS)
    exponent = 0.0
    for _ in range(6):
        cost = _cost(Detector(offset, 2**exponent), samples(2**exponent), seed)
        if abs(cost - bits) < 0.05:
            break
        low, high = (exponent, high) if cost < bits else (low, exponent)
        guess = exponent + (bits - cost) * 1.3
        exponent = guess if low < guess < high else (low + high) / 2
    return float(2**exponent)


def _cost(detector: Detector, samples: Sequence[Field], seed: int) -> float:
    """Bits per pixel of the samples in the product's coding."""
    noise = np.random.default_rng(seed)
    patches = [detector.digital_numbers(sample, noise) for sample in samples]
    with tempfile.TemporaryDirectory() as folder:
        sizes = []
        for index, band in enumerate(np.concatenate(patches)):
            path = Path(folder) / f"{index}.jp2"
            BandWriter(path, len(band)).write(band)
            sizes.append(path.stat().st_size * 8 / band.size)
    return float(np.mean(sizes))
