"""Strips of any height become the grid's rows of windows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flightsw.scene.reflectance import NO_DATA
from flightsw.scene.scene import Strip
from flightsw.tiling import Grid


@dataclass(frozen=True)
class GridRow:
    """What one row of windows looks at: the rows of :meth:`Grid.needed_rows`.

    ``pieces`` uint16 ``(bands, rows, width)`` lie one below the other, each a view into its
    strip: joining them would cost 20 MB of fresh memory a row.
    """

    row: int
    pieces: tuple[NDArray[np.uint16], ...]


def grid_rows(strips: Iterable[Strip], grid: Grid) -> Iterator[GridRow]:
    """Cut strips, in order, into the grid's rows; the same for any strip height."""
    row = 0
    held: list[Strip] = []
    for strip in strips:
        held.append(strip)
        below = strip.top + strip.digital_numbers.shape[1]
        while row < grid.rows and grid.needed_rows(row).stop <= below:
            yield GridRow(row, _pieces_of(held, grid.needed_rows(row)))
            row += 1
        still_needed = row * grid.stride
        held = [one for one in held if one.top + one.digital_numbers.shape[1] > still_needed]
    if row < grid.rows:
        raise ValueError(f"strips ended before row {grid.needed_rows(row).stop} of {grid.height}")


def no_data_pixels(digital_numbers: NDArray[np.uint16]) -> NDArray[np.bool_] | None:
    """Where any band has no data: bool ``(rows, width)``, or None where all pixels are valid.

    At a swath's edge the bands end a few pixels apart; a pixel that lacks one
    band cannot be trusted.
    """
    if digital_numbers.min(initial=1) != NO_DATA:
        return None
    return np.asarray((digital_numbers == NO_DATA).any(axis=0))


def _pieces_of(held: list[Strip], needed: range) -> tuple[NDArray[np.uint16], ...]:
    return tuple(
        strip.digital_numbers[:, max(0, needed.start - strip.top) : needed.stop - strip.top]
        for strip in held
        if strip.top < needed.stop and needed.start < strip.top + strip.digital_numbers.shape[1]
    )
