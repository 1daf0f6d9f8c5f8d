"""Strips of any height, over any panels, become spans of the grid's windows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from flightsw.scene.reflectance import NO_DATA
from flightsw.scene.scene import Strip
from flightsw.scene.tiling import Grid


@dataclass(frozen=True)
class Stack:
    """Pixels from scene column ``left`` on: ``pieces`` lie one below the other.

    Each is uint16 ``(bands, rows, columns)``, a view into its strip: joining them would cost
    20 MB of new memory a row.
    """

    left: int
    pieces: tuple[NDArray[np.uint16], ...]

    @property
    def right(self) -> int:
        """The scene column after the last one."""
        width: int = self.pieces[0].shape[2]
        return self.left + width


@dataclass(frozen=True)
class GridSpan:
    """The windows of one grid row that end in one panel, and the pixels they look at.

    ``columns`` of the grid; it may have none in a narrow panel.  The stacks have the rows of
    :meth:`Grid.needed_rows` and lie side by side: ``beside`` is what the windows share with
    panels to the left, ``own`` the whole panel.  ``all_valid``: no pixel lacks data, surely.
    """

    row: int
    columns: range
    beside: tuple[Stack, ...]
    own: Stack
    ends_row: bool
    all_valid: bool

    @property
    def left(self) -> int:
        """The first scene column that its stacks hold."""
        return (*self.beside, self.own)[0].left


def grid_spans(strips: Iterable[Strip], grid: Grid) -> Iterator[GridSpan]:
    """Cut strips, in the order of a scene, into spans; their windows are the same for any strips.

    The spans of a grid row come from left to right, with spans of other rows between them.
    """
    panels: dict[int, _Panel] = {}
    for strip in strips:
        panel = panels.setdefault(strip.left, _Panel(strip.left))
        panel.right = strip.left + strip.digital_numbers.shape[2]
        panel.held.append(strip)
        if panel.right < grid.width:
            beside = panels.setdefault(panel.right, _Panel(panel.right))
            beside.held += _shared(panel, strip, grid)
        while panel.row < grid.rows and grid.needed_rows(panel.row).stop <= _bottom(strip):
            yield _span(panel, grid)
            panel.row += 1
        panel.drop_above(grid.top(panel.row))
    if not panels or any(panel.row < grid.rows for panel in panels.values()):
        raise ValueError(f"strips ended before all {grid.height} x {grid.width} pixels came")


def no_data_pixels(
    digital_numbers: NDArray[np.uint16], *, zero_is_measured: bool
) -> NDArray[np.bool_] | None:
    """Pixels of uint16 ``(bands, rows, width)`` without data: bool ``(rows, width)``.

    None if all are valid.  A pixel has no data if all bands are DN 0, or any band unless
    ``zero_is_measured`` (:attr:`~flightsw.scene.scene.SceneMetadata.zero_is_measured`).
    """
    if digital_numbers.min(initial=1) != NO_DATA:
        return None
    zero = digital_numbers == NO_DATA
    return np.asarray(zero.all(axis=0) if zero_is_measured else zero.any(axis=0))


@dataclass
class _Panel:
    """What is held of a panel, and beside it, until its windows have been yielded."""

    left: int
    right: int = 0
    row: int = 0  # the next grid row
    held: list[Strip] = field(default_factory=list)

    def drop_above(self, top: int) -> None:
        self.held = [strip for strip in self.held if _bottom(strip) > top]


def _shared(panel: _Panel, newest: Strip, grid: Grid) -> Iterator[Strip]:
    """Copies, which keep no strip in memory, of the pixels that the next panel's windows need."""
    left = grid.columns_of(grid.columns_before(panel.right)).start
    for strip in panel.held:
        top, bottom = max(strip.top, newest.top), min(_bottom(strip), _bottom(newest))
        first = max(left, strip.left)
        part = _cut(strip, range(top, bottom))[:, :, first - strip.left :]
        if part.size:
            yield Strip(top, part.copy(), left=first)


def _span(panel: _Panel, grid: Grid) -> GridSpan:
    needed = grid.needed_rows(panel.row)
    pieces = [(strip.left, _cut(strip, needed)) for strip in panel.held]
    *beside, own = (
        Stack(left, tuple(piece for at, piece in pieces if at == left and piece.size))
        for left in sorted({at for at, _ in pieces})
    )
    columns = range(grid.columns_before(panel.left), grid.columns_before(panel.right))
    all_valid = all(strip.usual for strip in panel.held)
    return GridSpan(panel.row, columns, tuple(beside), own, panel.right == grid.width, all_valid)


def _cut(strip: Strip, rows: range) -> NDArray[np.uint16]:
    return strip.digital_numbers[:, max(0, rows.start - strip.top) : max(0, rows.stop - strip.top)]


def _bottom(strip: Strip) -> int:
    rows: int = strip.digital_numbers.shape[1]
    return strip.top + rows
