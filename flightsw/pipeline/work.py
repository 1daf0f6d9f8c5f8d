"""What travels between the pipeline's threads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from flightsw.engines.engine import Logits, Tiles


@dataclass(frozen=True)
class TileBatch:
    """Tiles ``(n, tile, tile, bands)`` as the engine takes them, and their ``(row, column)``."""

    places: tuple[tuple[int, int], ...]
    tiles: Tiles


@dataclass(frozen=True)
class AnsweredBatch:
    """Logits ``(n, tile, tile, classes)`` of the tiles at ``places``."""

    places: tuple[tuple[int, int], ...]
    logits: Logits


@dataclass(frozen=True)
class Piece:
    """Some rows of the scene: uint16 ``(bands, rows, width)``.

    ``no_data`` is bool ``(rows, width)``, or None where all pixels are valid.
    """

    digital_numbers: NDArray[np.uint16]
    no_data: NDArray[np.bool_] | None

    @property
    def rows(self) -> int:
        """How many rows these are."""
        rows: int = self.digital_numbers.shape[1]
        return rows

    def top_rows(self, count: int) -> Piece:
        """The first ``count`` rows of them."""
        no_data = None if self.no_data is None else self.no_data[:count]
        return Piece(self.digital_numbers[:, :count], no_data)


@dataclass(frozen=True)
class RowEnd:
    """All tiles of a grid row have been sent before this.

    ``pieces`` cover, one below the other, the rows that the grid row finishes.
    """

    row: int
    pieces: tuple[Piece, ...]
    tiles_without_data: int


Prepared: TypeAlias = TileBatch | RowEnd
Answered: TypeAlias = AnsweredBatch | RowEnd
