"""A band on the grid of a scene whose finest bands have smaller pixels (docs/decisions/0061).

A pixel of the scene has the value of the band's pixel that its centre lies in: 10 m pixels repeat
one of 20 m twice a side and one of 60 m six times, as in the archives that networks are trained on.
No value is made up, so no data, saturation and the exact sums of a pass stay what they are.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flightsw.scene.strips import StripPart

_ROWS_OF_CELLS_KEPT: Final = 2  # a decode may end inside one, and the next ends inside the other


@dataclass(frozen=True)
class ResampledBand:
    """A single band, a :class:`~flightsw.scene.strips.StripPart` with rows of the scene.

    ``band`` reads its own pixels, ``height`` x ``width`` of ``pitch`` metres; the scene's have
    ``scene_pitch`` metres, and both grids begin at the same corner.  ``cell`` are the rows and
    columns of the band that are decoded at a time, whole tiles of its file: the tiles of files of
    different distances end in different rows of the scene, and none is decoded twice.
    """

    band: StripPart
    height: int
    width: int
    pitch: int
    scene_pitch: int
    cell: tuple[int, int]
    _cells: OrderedDict[tuple[int, int], NDArray[np.uint16]] = field(
        default_factory=OrderedDict, compare=False, repr=False
    )
    _reading: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)

    @property
    def bands(self) -> slice:
        """Which band of the strip this is."""
        return self.band.bands

    def read(self, top: int, left: int, targets: Sequence[NDArray[np.uint16]]) -> None:
        """Fill the targets from the scene's row ``top`` and column ``left`` on.

        Raises what the band's own ``read`` raises.
        """
        bottom = top + sum(target.shape[1] for target in targets)
        rows = self._sources(top, bottom, self.height)
        columns = self._sources(left, left + targets[0].shape[2], self.width)
        pixels = self._pixels(
            range(int(rows[0]), int(rows[-1]) + 1), range(int(columns[0]), int(columns[-1]) + 1)
        )[:, columns - columns[0]]
        begin = 0
        for target in targets:
            end = begin + target.shape[1]
            target[0] = pixels[rows[begin:end] - rows[0]]
            begin = end

    def _sources(self, start: int, stop: int, length: int) -> NDArray[np.int64]:
        """The band's rows or columns that the centres of the scene's lie in.

        The last one of the scene may have its centre beyond the band.
        """
        centres = 2 * np.arange(start, stop, dtype=np.int64) + 1
        return np.minimum(centres * self.scene_pitch // (2 * self.pitch), length - 1)

    def _pixels(self, rows: range, columns: range) -> NDArray[np.uint16]:
        """These rows and columns of the band itself."""
        pixels = np.empty((len(rows), len(columns)), np.uint16)
        height, width = self.cell
        with self._reading:  # two decodes that need the same cell decode it once
            for down in range(rows.start // height, -(-rows.stop // height)):
                for across in range(columns.start // width, -(-columns.stop // width)):
                    self._copy((down, across), rows, columns, pixels)
        return pixels

    def _copy(
        self, cell: tuple[int, int], rows: range, columns: range, pixels: NDArray[np.uint16]
    ) -> None:
        values = self._cell(cell)
        top, left = cell[0] * self.cell[0], cell[1] * self.cell[1]
        down = slice(max(rows.start, top), min(rows.stop, top + len(values)))
        across = slice(max(columns.start, left), min(columns.stop, left + values.shape[1]))
        pixels[
            down.start - rows.start : down.stop - rows.start,
            across.start - columns.start : across.stop - columns.start,
        ] = values[down.start - top : down.stop - top, across.start - left : across.stop - left]

    def _cell(self, cell: tuple[int, int]) -> NDArray[np.uint16]:
        if (known := self._cells.get(cell)) is not None:
            self._cells.move_to_end(cell)
            return known
        top, left = cell[0] * self.cell[0], cell[1] * self.cell[1]
        values = np.empty(
            (min(self.cell[0], self.height - top), min(self.cell[1], self.width - left)), np.uint16
        )
        self.band.read(top, left, [values[None]])
        self._cells[cell] = values
        if len(self._cells) > _ROWS_OF_CELLS_KEPT * -(-self.width // self.cell[1]):
            self._cells.popitem(last=False)
        return values
