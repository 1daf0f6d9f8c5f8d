"""Bands for tests of the fast decode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flightsw.scene.codestream import inspect
from flightsw.scene.fast_jp2 import FastBand
from flightsw.scene.jp2 import Jp2Band


class NeverExact(Jp2Band):
    """A band that must not be decoded exactly."""

    def read_area(self, top: int, left: int, targets: Sequence[NDArray[np.uint16]]) -> None:
        """Fail."""
        raise AssertionError(f"the tile at row {top}, column {left} was decoded exactly")


def band_of(path: Path, step: int = 1) -> Jp2Band:
    """The band of a file."""
    return Jp2Band(path, inspect(path), slice(0, 1), step)


def always_fast(band: FastBand, **changes: Any) -> FastBand:
    """The same band, which fails if it decodes a tile exactly."""
    exact = band.exact
    never = NeverExact(exact.path, exact.codestream, exact.bands, exact.step)
    return replace(band, exact=never, **changes)


def rewriting_nothing(band: FastBand) -> FastBand:
    """The same band with all its planes, which fails if it decodes a tile exactly."""
    return always_fast(band, dropped=(0,) * len(band.dropped), largest_error=-1)


def pixels_of(band: Any) -> NDArray[np.uint16]:
    """All its pixels: ``(rows, columns)``."""
    exact = band.exact if isinstance(band, FastBand) else band
    image, step = exact.codestream, exact.step
    pixels = np.zeros((1, -(-image.height // step), -(-image.width // step)), np.uint16)
    band.read(0, 0, [pixels])
    whole: NDArray[np.uint16] = pixels[0]
    return whole
