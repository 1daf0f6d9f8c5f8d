"""The grid of overlapping windows over a scene, and which rows each grid row finishes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, starmap
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

    @cached_property
    def rows(self) -> int:
        """Windows from top to bottom."""
        return self._count(self.height)

    @cached_property
    def columns(self) -> int:
        """Windows from left to right."""
        return self._count(self.width)

    def top(self, row: int) -> int:
        """Scene row at which the windows of grid row ``row`` begin."""
        return self._start(row, self.height)

    def needed_rows(self, row: int) -> range:
        """Scene rows that the windows of grid row ``row`` cover."""
        return self._needed_rows[row]

    def finished_rows(self, row: int) -> range:
        """Scene rows that grid row ``row`` finishes: no later grid row covers them."""
        return self._finished_rows[row]

    def columns_of(self, column: int) -> range:
        """Scene columns that the windows of grid column ``column`` cover."""
        return self._columns_of[column]

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

    # Looked up several times a tile.

    @cached_property
    def _needed_rows(self) -> tuple[range, ...]:
        return tuple(self._windows(self.height))

    @cached_property
    def _columns_of(self) -> tuple[range, ...]:
        return tuple(self._windows(self.width))

    @cached_property
    def _finished_rows(self) -> tuple[range, ...]:
        edges = [*(rows.start for rows in self._needed_rows), self.height]
        return tuple(starmap(range, pairwise(edges)))

    def _seen(self, wanted: range, length: int) -> range:
        seen = [
            window
            for window in self._windows(length)
            if window.start < wanted.stop and window.stop > wanted.start
        ]
        return range(seen[0].start, seen[-1].stop)

    def _windows(self, length: int) -> Iterator[range]:
        for number in range(self._count(length)):
            start = self._start(number, length)
            yield range(start, min(start + self.tile_size, length))

    def _start(self, number: int, length: int) -> int:
        return min(number * self.stride, max(0, length - self.tile_size))

    def _count(self, length: int) -> int:
        beyond_first = max(0, length - self.tile_size)
        return -(-beyond_first // self.stride) + 1
