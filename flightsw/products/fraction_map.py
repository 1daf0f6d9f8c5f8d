"""Cloud fraction of each cell of the tile grid, counted while the scene streams."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from flightsw.products.contents import CONTAMINATED, NO_DATA, FinishedRows

NO_VALID_PIXEL: Final = 255
STEPS: Final = 250
"""Range of a cell's value: 0 clear, 250 fully contaminated; 255 has no valid pixel."""


class FractionMap:
    """A row sink that counts cells of ``cell`` x ``cell`` pixels.

    The last row and column include the remaining pixels, so that a scene has as many cells
    as windows: 53 x 53 at 10 m.
    """

    def __init__(self, rows: int, columns: int, cell: int) -> None:
        self._cell = cell
        self._starts = np.arange(columns) * cell
        self._contaminated = np.zeros((rows, columns), dtype=np.int64)
        self._valid = np.zeros((rows, columns), dtype=np.int64)

    def write(self, rows: FinishedRows) -> None:
        """Count rows, which belong to one row of cells or several."""
        last = len(self._valid) - 1
        numbers = np.minimum(np.arange(rows.top, rows.top + len(rows.mask)) // self._cell, last)
        for number in range(numbers[0], numbers[-1] + 1):
            mask = rows.mask[numbers == number] if numbers[0] != numbers[-1] else rows.mask
            self._contaminated[number] += self._by_column(mask == CONTAMINATED)
            self._valid[number] += self._by_column(mask != NO_DATA)

    def values(self) -> NDArray[np.uint8]:
        """Uint8 ``(rows, columns)``: :data:`STEPS` x contaminated share, or no valid pixel."""
        shares = self._contaminated / np.maximum(self._valid, 1)
        steps: NDArray[np.uint8] = np.rint(shares * STEPS).astype(np.uint8)
        steps[self._valid == 0] = NO_VALID_PIXEL
        return steps

    def _by_column(self, flags: NDArray[np.bool_]) -> NDArray[np.int64]:
        columns = flags.view(np.uint8).sum(axis=0, dtype=np.uint32)
        return np.add.reduceat(columns, self._starts, dtype=np.int64)
