"""A stand-in for the network that costs next to nothing: good for timing and for nothing else."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from flightsw.dimc.tensors import TensorInfo, every_channel

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
        self._above: NDArray[np.bool_] = np.empty(tiles.unpadded_shape, np.bool_)

    def start(self) -> None:
        """Fill ``logits`` from ``tiles``."""
        bright = every_channel(np.greater(self.tiles, self._threshold, out=self._above))
        contaminated = bright.view(np.int8) * np.int8(2 * _CONFIDENT_LOGIT)
        contaminated -= np.int8(_CONFIDENT_LOGIT)
        np.negative(contaminated, out=self.logits[..., 0])
        if self.logits.shape[-1] > 1:
            self.logits[..., 1] = contaminated

    def wait(self, seconds: float) -> int:  # noqa: ARG002
        """Nothing to wait for: however long the host took, the card is not kept waiting."""
        return 0
