"""What travels between the pipeline's threads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TileBatch:
    """Quantised tiles int8 ``(n, tile, tile, bands)`` and their ``(row, column)`` in the grid."""

    places: tuple[tuple[int, int], ...]
    tiles: NDArray[np.int8]


@dataclass(frozen=True)
class AnsweredBatch:
    """Logits int8 ``(n, tile, tile, classes)`` of the tiles at ``places``."""

    places: tuple[tuple[int, int], ...]
    logits: NDArray[np.int8]


@dataclass(frozen=True)
class RowEnd:
    """All tiles of a grid row have been sent before this.

    ``digital_numbers`` uint16 ``(bands, rows, width)`` and ``no_data`` bool
    ``(rows, width)`` (None: all valid) cover the rows that the grid row finishes.
    """

    row: int
    digital_numbers: NDArray[np.uint16]
    no_data: NDArray[np.bool_] | None
    tiles_without_data: int


Prepared: TypeAlias = TileBatch | RowEnd
Answered: TypeAlias = AnsweredBatch | RowEnd
