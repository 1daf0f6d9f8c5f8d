"""Histograms of what a scene shows the network and of what it answers (docs/decisions/0060).

Counted on every fourth pixel of every fourth row of the tiles as the engine gets them, together
with the answers to them, so that any engine and any number of bands will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flightsw.engines.engine import EngineInfo, Logits
from flightsw.model.description import Quantisation
from flightsw.model.sound_scenes import (
    ANSWERS,
    BRIGHTNESSES,
    CONTRASTS,
    FIRST_STEPS,
    HUES,
    KINDS,
    MARGINS,
    SoundScenes,
    sizes_of,
)
from flightsw.pipeline.fusion import contamination_margin
from flightsw.pipeline.work import AnsweredBatch, TileSample
from flightsw.products.contents import Experience

SAMPLE_EVERY: Final = 4
"""Of the rows and of the columns of a tile, one is counted."""

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
        self.pixels = 0

    def count(self, sample: TileSample, logits: Logits) -> None:
        """Count the pixels of a sample; ``logits`` ``(tile, tile, classes)`` are those of its tile.

        Pixels without data do not count.
        """
        rows, columns, bands = sample.pixels.shape
        margins = contamination_margin(logits[::SAMPLE_EVERY, ::SAMPLE_EVERY])[:rows, :columns]
        steps = self._steps(sample)
        if sample.valid is not None:
            steps, margins = steps[sample.valid], margins[sample.valid]
        steps = steps.reshape(-1, bands)
        real = margins.ravel() * self._logit_scale
        kinds = np.sum([real > least for least in ANSWERS], axis=0, dtype=np.intp)
        planes = [np.ascontiguousarray(plane) for plane in steps.T]
        found = [
            *(_BIN_OF_STEP[plane] + kinds for plane in (*planes, np.minimum.reduce(planes))),
            *(_contrast_bins()[one, other] + kinds for one, other in pairwise(planes)),
            ((real + _LARGEST_MARGIN) * _PER_LOGIT).clip(0, MARGINS - 1).astype(np.intp),
            *([_colours(planes)] if self._colours else []),
        ]
        self._counts += np.concatenate(
            [
                np.bincount(bins, minlength=size)
                for bins, size in zip(found, self._sizes, strict=True)
            ]
        )
        self.pixels += len(steps)

    def shares(self) -> NDArray[np.float64]:
        """All histograms, one after the other, as shares of the pixels counted."""
        return self._counts / max(self.pixels, 1)

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


def _colours(planes: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint16]:
    """Bin of each pixel: contrasts of the first, middle and last band, and the second's brightness.

    In the single histograms a grey plume over green land is grey land or haze; here it is not.
    """
    bands = len(planes)
    first, second, middle, last = (
        planes[at].ravel() for at in (0, min(1, bands - 1), bands // 2, bands - 1)
    )
    colour = _hues(first, middle) * np.uint8(_HUE_BINS) + _hues(middle, last)
    return np.asarray(_BRIGHTNESS_OF_STEP.take(second) + colour)


def _hues(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(_hue_table().take(one * np.uint16(_STEPS) + other))


@lru_cache(maxsize=1)
def _hue_table() -> NDArray[np.uint8]:
    """Bin of the contrast of two steps, side by side."""
    return np.searchsorted(HUES, _contrasts().ravel(), "right").astype(np.uint8)


def _contrasts() -> NDArray[np.float64]:
    """Of two steps: (a - b) / (a + b)."""
    steps = np.arange(_STEPS, dtype=np.float64)
    one, other = steps[:, None], steps
    return np.asarray((one - other) / (one + other + 2 * _DARK))


@lru_cache(maxsize=1)
def _contrast_bins() -> NDArray[np.intp]:
    """First bin, of those of each answer, of two steps, in even bins of their contrast."""
    bins = (_contrasts() + _LARGEST_CONTRAST) / (2 * _LARGEST_CONTRAST) * CONTRASTS
    return bins.clip(0, CONTRASTS - 1).astype(np.intp) * KINDS


_PER_LOGIT: Final = MARGINS / (2 * _LARGEST_MARGIN)
_HUE_BINS: Final = len(HUES) + 1
_BRIGHTNESS_OF_STEP: Final = (
    _HUE_BINS**2 * np.searchsorted(BRIGHTNESSES, np.arange(_STEPS), "right")
).astype(np.uint16)
"""First bin, of those of each colour, of a step."""
_BIN_OF_STEP: Final = KINDS * (np.searchsorted(FIRST_STEPS, np.arange(_STEPS), "right") - 1)
"""First bin, of those of each answer, of a step."""
