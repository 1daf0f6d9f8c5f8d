"""Histograms of what a scene shows the network and of what it answers (docs/decisions/0060).

Counted on every fourth pixel of every fourth row of the tiles as the engine gets them, together
with the answers to them, so that any engine and any number of bands will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, reduce
from itertools import pairwise
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from flightsw.engines.engine import EngineInfo, Logits
from flightsw.model.description import Quantisation
from flightsw.model.sound_scenes import (
    ANSWERS,
    BRIGHTNESSES,
    COLOURS,
    CONTRASTS,
    FIRST_STEPS,
    HUES,
    KINDS,
    MARGINS,
    SoundScenes,
    sizes_of,
)
from flightsw.pipeline.fusion import Margins, contamination_margin
from flightsw.pipeline.pixel_words import thinned
from flightsw.pipeline.work import AnsweredBatch, TileSample
from flightsw.products.contents import Experience

SAMPLE_EVERY: Final = 4
"""Of the rows and of the columns of a tile, one is counted."""

_PIXELS_AT_ONCE: Final = 1 << 15  # of a dozen tiles
_STEPS: Final = 256
_LARGEST_CONTRAST: Final = 0.75
_DARK: Final = 4  # steps: the contrast of two dark bands is noise
_LARGEST_MARGIN: Final = 8.0  # two INT8 logits of the shipped network are ±4


class SceneHistograms:
    """Counts pixels by reflectance, contrast of neighbouring bands, and answer.

    One histogram for each band, one for the darkest band of a pixel, and one for each two
    neighbouring bands, all of them beside the kind of answer; one of the answers' margins; and one
    of joint ``colours``, if the package knows them.
    ``scale`` is that of the package's input; ``logit_scale`` is 1 for floating-point logits.  Used
    by one thread.
    """

    def __init__(
        self, bands: int, scale: Quantisation, logit_scale: float = 1.0, *, colours: bool = True
    ) -> None:
        self._scale = scale
        self._logit_scale = np.float32(logit_scale)
        self._sizes = sizes_of(bands, colours=colours)
        self._colours = colours
        self._counts = np.zeros(sum(self._sizes), np.int64)
        self._waiting: list[tuple[NDArray[np.uint8], Margins]] = []
        self._pixels_waiting = 0
        self.pixels = 0

    def count(self, sample: TileSample, logits: Logits) -> None:
        """Count the pixels of a sample; ``logits`` ``(tile, tile, classes)`` are those of its tile.

        Pixels without data do not count.
        """
        rows, columns, bands = sample.pixels.shape
        margins = contamination_margin(thinned(logits, SAMPLE_EVERY))[:rows, :columns]
        steps = self._steps(sample)
        if sample.valid is not None:
            steps, margins = steps[sample.valid], margins[sample.valid]
        self._waiting.append((steps.reshape(-1, bands), margins.ravel()))
        self._pixels_waiting += margins.size
        self.pixels += margins.size
        if self._pixels_waiting >= _PIXELS_AT_ONCE:
            self._count_waiting()

    def shares(self) -> NDArray[np.float64]:
        """All histograms, one after the other, as shares of the pixels counted."""
        if self._pixels_waiting:
            self._count_waiting()
        return self._counts / max(self.pixels, 1)

    def _count_waiting(self) -> None:
        """A few tiles together: each by itself would cost more in calls than in counting."""
        steps, margins = map(np.concatenate, zip(*self._waiting, strict=True))
        self._waiting, self._pixels_waiting = [], 0
        planes: Sequence[NDArray[Any]] = cv2.split(steps[None])
        real = margins * self._logit_scale
        kinds = reduce(np.add, ((real > least).view(np.uint8) for least in ANSWERS))[None]
        found = [
            *(cv2.LUT(plane, _BIN_OF_STEP) for plane in (*planes, reduce(np.minimum, planes))),
            *(_contrast_bins(_pairs(one, other)) for one, other in pairwise(planes)),
        ]
        margin_bins = ((real + _LARGEST_MARGIN) * _PER_LOGIT).clip(0, MARGINS - 1).astype(np.intp)
        sizes = self._sizes[: len(found)]
        self._counts += np.concatenate(
            [
                *(_histogram(bins + kinds, size) for bins, size in zip(found, sizes, strict=True)),
                np.bincount(margin_bins, minlength=MARGINS),
                *([_histogram(_colours(planes), COLOURS)] if self._colours else []),
            ]
        )

    def _steps(self, sample: TileSample) -> NDArray[np.uint8]:
        """Steps from 0, whatever the engine takes: ``(rows, columns, bands)``."""
        if sample.pixels.dtype == np.int8:
            return np.asarray(sample.pixels.view(np.uint8) ^ np.uint8(_STEPS // 2))
        steps = np.rint(sample.pixels.astype(np.float32) / self._scale.scale)
        steps += self._scale.zero_point + _STEPS // 2
        return np.asarray(steps.clip(0, _STEPS - 1), np.uint8)


class SceneExperience:
    """How far one scene is from the sound scenes of a package.  Used by one thread."""

    def __init__(self, engine: EngineInfo, scale: Quantisation, sound: SoundScenes) -> None:
        logit_scale = engine.output.scale if engine.output else 1.0
        self._histograms = SceneHistograms(
            len(engine.bands), scale, logit_scale, colours=sound.colours
        )
        self._sound = sound

    def take(self, batch: AnsweredBatch) -> None:
        """Count the samples of a batch."""
        for sample, logits in zip(batch.samples, batch.logits, strict=True):
            self._histograms.count(sample, logits)

    def found(self) -> Experience | None:
        """What was found; None if too few pixels were counted to know."""
        pixels = self._histograms.pixels
        if pixels < self._sound.least_pixels:
            return None
        distance, towards = self._sound.distance(self._histograms.shares())
        return Experience(distance=distance, outside=distance > 1, towards=towards, pixels=pixels)


def _histogram(bins: NDArray[Any], size: int) -> NDArray[np.int64]:
    """NumPy's takes twice as long; as float32, counts are exact up to 2 to the power of 24."""
    return cv2.calcHist([bins], [0], None, [size], [0, size]).ravel().astype(np.int64)


def _contrast_bins(pairs: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """First bin, of those of each answer, of the contrast of pairs of steps."""
    return np.asarray(cv2.LUT(pairs, _contrast_table()), np.uint8)


def _colours(planes: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint16]:
    """Bin of each pixel: contrasts of the first, middle and last band, and the second's brightness.

    In the single histograms a grey plume over green land is grey land or haze; here it is not.
    """
    bands = len(planes)
    first, second, middle, last = (
        planes[at] for at in (0, min(1, bands - 1), bands // 2, bands - 1)
    )
    hues = _hues(_pairs(first, middle)) * np.uint8(_HUE_BINS) + _hues(_pairs(middle, last))
    return np.asarray(_BRIGHTNESS_OF_STEP.take(second) + hues)


def _pairs(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Two steps of a pixel in one number: the row and the column of a table."""
    return np.asarray(one * np.uint16(_STEPS) + other)


def _hues(pairs: NDArray[np.uint16]) -> NDArray[np.uint8]:
    return np.asarray(cv2.LUT(pairs, _hue_table()), np.uint8)


@lru_cache(maxsize=1)
def _hue_table() -> NDArray[np.uint8]:
    """Bin of the contrast of two steps, side by side."""
    return np.searchsorted(HUES, _contrasts(), "right").astype(np.uint8).reshape(1, -1)


@lru_cache(maxsize=1)
def _contrast_table() -> NDArray[np.uint8]:
    """First bin of two steps, side by side, in even bins of their contrast."""
    bins = (_contrasts() + _LARGEST_CONTRAST) / (2 * _LARGEST_CONTRAST) * CONTRASTS
    return (bins.clip(0, CONTRASTS - 1).astype(np.uint8) * np.uint8(KINDS)).reshape(1, -1)


def _contrasts() -> NDArray[np.float64]:
    """Of two steps: (a - b) / (a + b)."""
    steps = np.arange(_STEPS, dtype=np.float64)
    one, other = steps[:, None], steps
    return np.asarray((one - other) / (one + other + 2 * _DARK))


_PER_LOGIT: Final = MARGINS / (2 * _LARGEST_MARGIN)
_HUE_BINS: Final = len(HUES) + 1
_BRIGHTNESS_OF_STEP: Final = (
    _HUE_BINS**2 * np.searchsorted(BRIGHTNESSES, np.arange(_STEPS), "right")
).astype(np.uint16)
"""First bin, of those of each colour, of a step."""
_BIN_OF_STEP: Final = (
    KINDS * (np.searchsorted(FIRST_STEPS, np.arange(_STEPS), "right") - 1)
).astype(np.uint8)
"""First bin, of those of each answer, of a step."""
