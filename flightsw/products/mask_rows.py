"""The mask and the cloud probability of a scene, each as one array in memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flightsw.products.contents import FinishedRows


class MaskRows:
    """Keeps a scene's mask, and its cloud probability if the rows have it.

    A :class:`~flightsw.products.contents.RowSink`.
    """

    def __init__(self) -> None:
        self._rows: list[NDArray[np.uint8]] = []
        self._probability: list[NDArray[np.uint8]] = []

    def write(self, rows: FinishedRows) -> None:
        """Take the next rows."""
        self._rows.append(rows.mask.copy())
        if rows.probability is not None:
            self._probability.append(rows.probability.copy())

    def mask(self) -> NDArray[np.uint8]:
        """Uint8 ``(height, width)``: 0 clear, 1 contaminated, 255 no data."""
        return np.concatenate(self._rows)

    def probability(self) -> NDArray[np.uint8]:
        """Uint8 ``(height, width)``: 0 to 100 per cent, 255 no data.

        Raises :class:`ValueError` if the rows had none (``process_scene(..., probability=True)``).
        """
        if not self._probability:
            raise ValueError("the cloud probability was not requested from process_scene")
        return np.concatenate(self._probability)
