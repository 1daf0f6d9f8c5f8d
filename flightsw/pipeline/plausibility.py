"""Whether the digital numbers of a scene agree with its metadata (docs/decisions/0023)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import reduce
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flightsw.errors import CorruptImage
from flightsw.pipeline.grid_spans import no_data_pixels
from flightsw.scene.reflectance import SATURATED
from flightsw.scene.scene import LARGEST_USUAL, SceneMetadata, Strip

_LARGEST_REFLECTANCE: Final = 3.2767
"""Of a product of 15 bits, DN 32,767; only the mark of saturation lies above."""
_IMPOSSIBLE_SHARE: Final = 0.01
"""Of the valid pixels: above it, the scene is refused."""

_NEGATIVE: Final = -0.01
_NEGATIVE_SHARE: Final = 0.02
"""Share of pixels below ``_NEGATIVE``: 0.33 % at most if the offset is right."""
_COARSE_NEGATIVE: Final = -0.05
_COARSE_DISTANCE: Final = 40  # metres
"""From here on, wavelets overshoot beside bright cloud: up to 5 % lie below ``_NEGATIVE``."""

_DARK: Final = 0.1
_DARK_SHARE: Final = 0.02
"""Share of pixels below ``_DARK``: 2 % at most if an offset of 1,000 DN was not applied."""
_DIM: Final = 0.15
_DIM_SHARE: Final = 0.01
"""Share of pixels from ``_DARK`` to ``_DIM``: at least this, unless the scene is overcast."""

_ROWS_LOOKED_AT: Final = 2048  # at least, of a scene that has as many


class Plausibility:
    """Counts digital numbers while the strips pass; used by one thread at a time."""

    def __init__(self, scene: SceneMetadata) -> None:
        self._scene = scene
        self._every = max(1, len(scene.shown[0]) // _ROWS_LOOKED_AT)
        self._largest = math.floor(_LARGEST_REFLECTANCE * scene.quantification)
        self._impossible = 0
        self._seen = 0
        coarse = scene.ground_sample_distance >= _COARSE_DISTANCE
        self._negative = _COARSE_NEGATIVE if coarse else _NEGATIVE
        self._below = dict.fromkeys((self._negative, _DARK, _DIM), 0)
        self._bands_by_offset: dict[float, list[int]] = {}
        for number, band in enumerate(scene.bands):
            self._bands_by_offset.setdefault(scene.offsets[band], []).append(number)

    def watch(self, strips: Iterable[Strip]) -> Iterator[Strip]:
        """Yield the strips unchanged, after counting."""
        for strip in strips:
            if not strip.usual or self._largest < LARGEST_USUAL:
                self._count_impossible(strip.digital_numbers)
            rows = strip.digital_numbers[:, -strip.top % self._every :: self._every]
            self._count_dark(rows, all_valid=strip.usual)
            yield strip

    def remarks(self, valid_pixels: int) -> tuple[str, ...]:
        """What is doubtful, in words; ``valid_pixels`` are those of the whole scene.

        Raises :class:`CorruptImage` if too many numbers are impossible.
        """
        return tuple(filter(None, (self._impossible_numbers(valid_pixels), self._wrong_offset())))

    def _count_impossible(self, numbers: NDArray[np.uint16]) -> None:
        if numbers.max(initial=0) > self._largest:
            impossible = (numbers > self._largest) & (numbers != SATURATED)
            self._impossible += int(np.count_nonzero(impossible.any(axis=0)))

    def _count_dark(self, numbers: NDArray[np.uint16], *, all_valid: bool) -> None:
        valid: NDArray[np.bool_] | None = None
        if not all_valid:
            missing = no_data_pixels(numbers, zero_is_measured=self._scene.zero_is_measured)
            valid = None if missing is None else ~missing
        self._seen += numbers[0].size if valid is None else int(np.count_nonzero(valid))
        darkest = {  # of the bands that share an offset: in most products, all
            offset: reduce(np.minimum, (numbers[band] for band in bands))
            for offset, bands in self._bands_by_offset.items()
        }
        for reflectance in self._below:
            below = reduce(
                np.logical_or,
                (least < self._limit(reflectance, offset) for offset, least in darkest.items()),
            )
            self._below[reflectance] += int(
                np.count_nonzero(below if valid is None else below & valid)
            )

    def _limit(self, reflectance: float, offset: float) -> int:
        """The least digital number of a reflectance."""
        return math.ceil(reflectance * self._scene.quantification - offset)

    def _impossible_numbers(self, valid_pixels: int) -> str:
        if not self._impossible:
            return ""
        found = (
            f"digital numbers from {self._largest + 1:,} to {SATURATED - 1:,} in "
            f"{self._impossible:,} of {valid_pixels:,} valid pixels, which no product holds"
        )
        if self._impossible > _IMPOSSIBLE_SHARE * valid_pixels:
            cure = "Give reflectance x 10,000, its scale, or the product as it was fetched"
            raise CorruptImage(self._scene.name, f"has {found}", cure)
        return f"there are {found}"

    def _wrong_offset(self) -> str:
        if not self._seen:
            return ""
        negative, dark, dim = (count / self._seen for count in self._below.values())
        if negative > _NEGATIVE_SHARE:
            return (
                f"{negative:.1%} of the valid pixels have a reflectance below {self._negative}: "
                f"the offset ({self._offsets()}) was perhaps applied before, and is applied twice"
            )
        if self._scene.zero_is_measured and dark < _DARK_SHARE and dim - dark > _DIM_SHARE:
            return (
                f"only {dark:.1%} of the valid pixels have a reflectance below {_DARK}, but "
                f"{dim - dark:.1%} from {_DARK} to {_DIM}: perhaps the product has an offset "
                "(-1000) that is not applied"
            )
        return ""

    def _offsets(self) -> str:
        return ", ".join(map(str, sorted(set(self._scene.offsets.values()))))
