"""What travels between the pipeline's threads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from flightsw.engines.engine import Logits, Tiles


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
