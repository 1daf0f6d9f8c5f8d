"""The mask of a scene as one array in memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flightsw.products.contents import FinishedRows


class MaskRows:
    """Keeps a scene's mask: a :class:`~flightsw.products.contents.RowSink`."""

    def __init__(self) -> None:
        self._rows: list[NDArray[np.uint8]] = []

    def write(self, rows: FinishedRows) -> None:
        """Take the next rows."""
        self._rows.append(rows.mask.copy())

    def mask(self) -> NDArray[np.uint8]:
        """Uint8 ``(height, width)``: 0 clear, 1 contaminated, 255 no data."""
        return np.concatenate(self._rows)
