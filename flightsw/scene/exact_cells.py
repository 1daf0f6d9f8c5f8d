"""Cells of a JPEG 2000 tile whose pixels have to be decoded exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flightsw.scene.passes import Blocks

SIDE: Final = 16
"""Pixels of a cell, at the resolution that is decoded."""

_MARGIN: Final = 4
"""Coefficients beside a block that a pixel beside it depends on, at most 3 (5/3 wavelet)."""


@dataclass(frozen=True)
class ExactCells:
    """The cells of a tile that begins at row ``top`` and column ``left``: bool ``(rows, columns)``.

    Pixels and tile are at the resolution that is decoded, ``reduced`` times half the full one.
    """

    top: int
    left: int
    marked: NDArray[np.bool_]
    reduced: int

    @classmethod
    def none_of(cls, rows: range, columns: range, reduced: int) -> ExactCells:
        """No cell of a tile with these rows and columns."""
        shape = (-(-len(rows) // SIDE), -(-len(columns) // SIDE))
        return cls(rows.start, columns.start, np.zeros(shape, np.bool_), reduced)

    @property
    def share(self) -> float:
        """Marked cells as a share of all, 0 to 1."""
        return float(self.marked.mean())

    def marking(self, pixels: NDArray[np.bool_], top: int, left: int) -> ExactCells:
        """These cells, and those of the ``pixels`` ``(rows, columns)`` from row ``top`` on."""
        rows, columns = self.marked.shape
        tile = np.zeros((rows * SIDE, columns * SIDE), np.bool_)
        inside = tile[top - self.top :, left - self.left :][: pixels.shape[0], : pixels.shape[1]]
        inside[:] = pixels[: inside.shape[0], : inside.shape[1]]
        # One axis after the other: both together take fifteen times as long.
        lines = tile.reshape(rows, SIDE, columns * SIDE).any(axis=1)
        cells = lines.reshape(rows, columns, SIDE).any(axis=2)
        return ExactCells(self.top, self.left, self.marked | cells, self.reduced)

    def touched_by(self, blocks: Blocks) -> Sequence[bool]:
        """For each block whether a marked pixel depends on it, in raster order."""
        if self._is_empty:
            return [False] * len(blocks.leaves)
        level = blocks.level - self.reduced
        first_row, end_row = self._cells(blocks.top, blocks.rows, blocks.height, level, axis=0)
        first, end = self._cells(blocks.left, blocks.columns, blocks.width, level, axis=1)
        sums, inside = self._sums, np.ix_
        marked = (
            sums[inside(end_row, end)]
            - sums[inside(first_row, end)]
            - sums[inside(end_row, first)]
            + sums[inside(first_row, first)]
        )
        found: list[bool] = (marked > 0).ravel().tolist()
        return found

    @cached_property
    def _is_empty(self) -> bool:
        """Asked for each sub-band of each packet."""
        return not self.marked.any()

    @cached_property
    def _sums(self) -> NDArray[np.intp]:
        """Marked cells above and to the left of each corner."""
        return np.pad(self.marked, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)

    def _cells(
        self, start: int, count: int, exponent: int, level: int, axis: int
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """First cell and the one after the last, along an axis, that depend on each block."""
        origin, most = (self.top, self.left)[axis], self.marked.shape[axis]
        edges = np.arange(start, start + count + 1) << exponent
        first = (((edges[:-1] - _MARGIN) << level) - origin) // SIDE
        end = -((origin - ((edges[1:] + _MARGIN) << level)) // SIDE)
        return np.clip(first, 0, most), np.clip(end, 0, most)
