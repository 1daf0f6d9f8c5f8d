"""Rows that arrive in any heights, passed on in blocks of one height."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Planes = tuple[NDArray[Any], ...]


class RowBlocks:
    """Regroups rows so that a file's bytes do not depend on how the rows arrive.

    Blocks have ``rows_per_block`` rows; the last one of the scene may have fewer.
    """

    def __init__(self, height: int, rows_per_block: int) -> None:
        self._height = height
        self._rows_per_block = rows_per_block
        self._top = 0
        self._held: Planes = ()
        self._filled = 0

    def add(self, *planes: NDArray[Any]) -> Iterator[tuple[int, Planes]]:
        """Take arrays ``(..., rows, width)`` of equal rows; yield (first row, blocks) as they fill.

        A block is valid until the next one is requested.
        """
        rows = planes[0].shape[-2]
        start = 0
        while start < rows:
            wanted = min(self._rows_per_block, self._height - self._top)
            taken = min(wanted - self._filled, rows - start)
            pieces = tuple(plane[..., start : start + taken, :] for plane in planes)
            start += taken
            if taken < wanted:
                pieces = self._hold(pieces, wanted)
            if self._filled in (0, wanted):
                yield self._top, pieces
                self._top += wanted
                self._filled = 0

    def _hold(self, pieces: Planes, wanted: int) -> Planes:
        if not self._filled:
            self._held = tuple(
                np.empty((*piece.shape[:-2], wanted, piece.shape[-1]), piece.dtype)
                for piece in pieces
            )
        taken = pieces[0].shape[-2]
        for held, piece in zip(self._held, pieces, strict=True):
            held[..., self._filled : self._filled + taken, :] = piece
        self._filled += taken
        return self._held
