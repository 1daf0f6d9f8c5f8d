"""What travels between the pipeline's threads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from flightsw.engines.engine import Logits, Tiles
from flightsw.errors import InferenceFailed


@dataclass(frozen=True)
class TileSample:
    """Pixels of a tile ``(n, n, bands)``, and which of them are valid ground (None: all)."""

    pixels: Tiles
    valid: NDArray[np.bool_] | None


@dataclass(frozen=True)
class TileBatch:
    """Tiles ``(n, tile, tile, bands)`` as the engine takes them, and their ``(row, column)``.

    ``samples`` has one a tile, or none if nobody counts them.
    """

    places: tuple[tuple[int, int], ...]
    tiles: Tiles
    samples: tuple[TileSample, ...] = ()
    _parity: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_parity", _parity(self.tiles))

    def require_unchanged(self) -> None:
        """Raise :class:`InferenceFailed` if the tiles are not what they were: a flipped bit, say.

        They wait for the engine, longer if it rests.
        """
        if _parity(self.tiles) != self._parity:
            row, column = self.places[0]
            raise InferenceFailed(
                f"a batch of tiles (from row {row}, column {column} on)",
                "changed in memory before it was answered",
                "Process the scene again; the mask was not written",
            )


def _parity(tiles: Tiles) -> int:
    """The exclusive or of all 64-bit words: a tenth of the time of a CRC, for any single bit."""
    content = np.ascontiguousarray(tiles).reshape(-1).view(np.uint8)
    whole = content.size - content.size % 8
    words = content[:whole].view(np.uint64)
    return int(np.bitwise_xor.reduce(words)) ^ int.from_bytes(content[whole:].tobytes(), "little")


@dataclass(frozen=True)
class AnsweredBatch:
    """Logits ``(n, tile, tile, classes)`` of the tiles at ``places``, and the tiles' samples."""

    places: tuple[tuple[int, int], ...]
    logits: Logits
    samples: tuple[TileSample, ...] = ()


@dataclass(frozen=True)
class NoDataPatch:
    """Pixels without data: ``missing``, bool, from scene row ``top`` and column ``left`` on."""

    top: int
    left: int
    missing: NDArray[np.bool_]


@dataclass(frozen=True)
class GridRowDone:
    """All tiles of a grid row have been sent before this.

    ``digital_numbers`` uint16 ``(bands, rows, width)`` are, one below the other, the rows that
    the grid row finishes; there are none if the scene comes in panels.
    """

    row: int
    no_data: tuple[NoDataPatch, ...]
    digital_numbers: tuple[NDArray[np.uint16], ...]
    tiles_without_data: int


PipelineItem: TypeAlias = TileBatch | GridRowDone
Answered: TypeAlias = AnsweredBatch | GridRowDone
