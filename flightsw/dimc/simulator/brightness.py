"""A stand-in for the network that costs next to nothing: useful only for timing."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from flightsw.dimc.tensors import TensorInfo, copy_pixels

STAND_IN: Final = "brightness-threshold"
"""The model name in products that no network made."""
BRIGHT_REFLECTANCE: Final = 0.25
"""A pixel is called contaminated if its first band is brighter."""
ROW_STEP: Final = 8
"""Every eighth row is answered: a card writes its answer itself, at no cost to the host."""
_CONFIDENT_LOGIT: Final = 40


class BrightnessThreshold:
    """Answers rows 0, 8, 16, ... of a frame; the others keep what the caller's array holds.

    The first class is clear, the second contaminated (logits +40 and -40 or
    the reverse, as int8); further classes stay at -40.  It has the methods of
    :class:`~flightsw.dimc.simulator.int8_graph.Int8Request` and computes in ``start``,
    in the caller's thread, so that no change of threads disturbs the timing.
    """

    def __init__(self, tiles: TensorInfo, logits: TensorInfo) -> None:
        batch, rows, width, classes = logits.unpadded_shape
        sampled = (batch, len(range(0, rows, ROW_STEP)), width, classes)
        self._logits: NDArray[np.int8] = np.full(sampled, -_CONFIDENT_LOGIT, np.int8)
        threshold = round(BRIGHT_REFLECTANCE / tiles.scale + tiles.zero_point)
        self._threshold = np.int8(np.clip(threshold, -128, 127))

    def start(self, tiles: NDArray[np.int8]) -> None:
        """Answer ``tiles`` (unpadded view), which may change afterwards."""
        bright = tiles[:, ::ROW_STEP, :, 0] > self._threshold
        contaminated = bright.view(np.int8) * np.int8(2 * _CONFIDENT_LOGIT)
        contaminated -= np.int8(_CONFIDENT_LOGIT)
        for channel, logits in enumerate((-contaminated, contaminated)[: self._logits.shape[-1]]):
            self._logits[..., channel] = logits

    def wait(self, seconds: float) -> int:  # noqa: ARG002
        """Nothing to wait for: the time the host took does not count for the card."""
        return 0

    def write(self, logits: NDArray[np.int8]) -> None:
        """Write the answer into ``logits`` (unpadded view)."""
        copy_pixels(logits[:, ::ROW_STEP], self._logits)
