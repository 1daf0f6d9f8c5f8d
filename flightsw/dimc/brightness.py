"""A stand-in for the network that costs next to nothing: good for timing and for nothing else."""

from __future__ import annotations

import functools
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from flightsw.dimc.tensors import TensorInfo

BRIGHT_REFLECTANCE: Final = 0.25
"""A pixel is called contaminated where every band is brighter; clouds are bright in all of them."""
_CONFIDENT_LOGIT: Final = 40


class BrightnessThreshold:
    """Answers a frame by comparing every band with :data:`BRIGHT_REFLECTANCE`.

    The first class is clear, the second contaminated (logits +40 and -40 or
    the reverse, as int8); further classes stay at -40.  It has the methods of
    :class:`~flightsw.dimc.int8_graph.Int8Request` and computes in ``start``,
    in the caller's thread, so that no hand-over to another thread disturbs the timing.
    """

    def __init__(self, tiles: TensorInfo, logits: TensorInfo) -> None:
        self.tiles: NDArray[np.int8] = np.zeros(tiles.unpadded_shape, np.int8)
        self.logits: NDArray[np.int8] = np.full(logits.unpadded_shape, -_CONFIDENT_LOGIT, np.int8)
        threshold = round(BRIGHT_REFLECTANCE / tiles.scale + tiles.zero_point)
        self._threshold = np.int8(np.clip(threshold, -128, 127))
        self._unlikely: NDArray[np.int8] = self.logits[0, ..., 0].copy()

    def start(self) -> None:
        """Fill ``logits`` from ``tiles``."""
        for tile, logits in zip(self.tiles, self.logits, strict=True):
            # Planes and OpenCV: a third of the time of NumPy on interleaved bytes.
            darkest = functools.reduce(cv2.min, cv2.split(tile))
            contaminated = (darkest > self._threshold).view(np.int8) * np.int8(2 * _CONFIDENT_LOGIT)
            contaminated -= np.int8(_CONFIDENT_LOGIT)
            others = [self._unlikely] * (logits.shape[-1] - 2)
            cv2.merge([-contaminated, contaminated, *others][: logits.shape[-1]], dst=logits)

    def wait(self, seconds: float) -> int:  # noqa: ARG002
        """Nothing to wait for: however long the host took, the card is not kept waiting."""
        return 0
