"""The grid of overlapping windows over a scene, and which rows each grid row finishes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TILE_SIZE: Final = 224
"""Side of the network's window, pixels (reference benchmark)."""

STRIDE: Final = 210
"""Step between windows, pixels: 53 x 53 windows on a 10,980 x 10,980 scene."""


@dataclass(frozen=True)
class Grid:
    """Windows of ``tile_size`` every ``stride`` pixels, from the upper left corner on.

    The last window of a row or column may extend beyond the scene's edge; the part
    outside is padding.  Every pixel is covered, whatever the size.
    """

    height: int
    width: int
    tile_size: int = TILE_SIZE
    stride: int = STRIDE

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1:
            raise ValueError(f"a scene of {self.height} x {self.width} pixels has no grid")
        if not 0 < self.stride <= self.tile_size:
            raise ValueError(f"stride {self.stride} does not fit tiles of {self.tile_size}")

    @property
    def rows(self) -> int:
        """Windows from top to bottom."""
        return self._count(self.height)

    @property
    def columns(self) -> int:
        """Windows from left to right."""
        return self._count(self.width)

    def needed_rows(self, row: int) -> range:
        """Scene rows that the windows of grid row ``row`` cover."""
        top = row * self.stride
        return range(top, min(top + self.tile_size, self.height))

    def finished_rows(self, row: int) -> range:
        """Scene rows that grid row ``row`` finishes: no later grid row covers them."""
        top = row * self.stride
        bottom = self.height if row == self.rows - 1 else top + self.stride
        return range(top, bottom)

    def columns_of(self, column: int) -> range:
        """Scene columns that the windows of grid column ``column`` cover."""
        left = column * self.stride
        return range(left, min(left + self.tile_size, self.width))

    def columns_before(self, right: int) -> int:
        """How many grid columns, from the left, end at scene column ``right`` or before it."""
        if right >= self.width:
            return self.columns
        return max(0, (right - self.tile_size) // self.stride + 1)

    def _count(self, length: int) -> int:
        beyond_first = max(0, length - self.tile_size)
        return -(-beyond_first // self.stride) + 1
