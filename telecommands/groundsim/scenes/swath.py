"""The slanted edge of the swath, beyond which a tile has no data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from telecommands.groundsim.scenes.fractal import Window

_SLANT: Final = 0.21  # columns a row: the ground track of a descending pass
_START: Final = 0.98  # valid fraction of the first row


@dataclass(frozen=True)
class Swath:
    """Valid pixels of a scene of ``size`` x ``size``; without ``edge`` all are valid."""

    size: int
    edge: bool

    @property
    def share(self) -> float:
        """Share of the scene's pixels that are valid."""
        return _START - _SLANT / 2 if self.edge else 1.0

    def valid(self, window: Window) -> NDArray[np.bool_]:
        """bool ``(height, width)``: inside the swath."""
        if not self.edge:
            return np.ones((window.height, window.width), dtype=np.bool_)
        last = _START * self.size - _SLANT * window.rows[:, None]
        return np.asarray(window.columns[None, :] < last, dtype=np.bool_)
