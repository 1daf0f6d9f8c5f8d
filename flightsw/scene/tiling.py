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

    The last window of a row or column is moved back to end at the scene's edge, so that what it
    shows is ground; only in a scene smaller than a window part of the window lies outside.
    Every pixel is covered, whatever the size.
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

    def top(self, row: int) -> int:
        """Scene row at which the windows of grid row ``row`` begin."""
        return self._start(row, self.height)

    def needed_rows(self, row: int) -> range:
        """Scene rows that the windows of grid row ``row`` cover."""
        top = self.top(row)
        return range(top, min(top + self.tile_size, self.height))

    def finished_rows(self, row: int) -> range:
        """Scene rows that grid row ``row`` finishes: no later grid row covers them."""
        bottom = self.height if row == self.rows - 1 else self.top(row + 1)
        return range(self.top(row), bottom)

    def columns_of(self, column: int) -> range:
        """Scene columns that the windows of grid column ``column`` cover."""
        left = self._start(column, self.width)
        return range(left, min(left + self.tile_size, self.width))

    def columns_before(self, right: int) -> int:
        """How many grid columns, from the left, end at scene column ``right`` or before it."""
        if right >= self.width:
            return self.columns
        return max(0, (right - self.tile_size) // self.stride + 1)

    def seen_around(self, rows: range, columns: range) -> tuple[range, range]:
        """Scene rows and columns of all windows that show any of these.

        A grid over them has these windows in the same places.
        """
        return self._seen(rows, self.height), self._seen(columns, self.width)

    def _seen(self, wanted: range, length: int) -> range:
        starts = (self._start(number, length) for number in range(self._count(length)))
        seen = [
            start
            for start in starts
            if start < wanted.stop and start + self.tile_size > wanted.start
        ]
        return range(seen[0], min(seen[-1] + self.tile_size, length))

    def _start(self, number: int, length: int) -> int:
        return min(number * self.stride, max(0, length - self.tile_size))

    def _count(self, length: int) -> int:
        beyond_first = max(0, length - self.tile_size)
        return -(-beyond_first // self.stride) + 1
