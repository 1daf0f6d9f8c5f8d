"""The distance of the pixels on which two masks disagree from the nearest cloud edge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, hypot
from typing import Any, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

NEAR: Final = (1, 2, 3, 8)
"""Distances in pixels for which shares are given; people also disagree by about 3."""

_ROWS: Final = 256
_REACH: Final = 256  # rows read above and below
_REDUCTION: Final = 4
_BINS: Final = 100  # a pixel


class MaskRows(Protocol):
    """A mask whose rows can be read: an array, or a file.

    uint8: 0 clear, 1 contaminated, 255 no data.
    """

    @property
    def shape(self) -> Any:
        """Height and width in pixels."""
        ...

    def __getitem__(self, rows: slice, /) -> NDArray[np.uint8]:
        """Rows ``(rows, width)``."""
        ...


@dataclass(frozen=True)
class EdgeDistances:
    """Euclidean distances in pixels; an edge pixel has distance 0.

    ``median`` and ``p95`` are nearest-rank percentiles, to a hundredth of a pixel;
    ``within`` has the share of the pixels, 0 to 1, for each of :data:`NEAR`.
    """

    pixels: int
    median: float
    p95: float
    maximum: float
    within: dict[int, float]


def edge_distances(
    a: MaskRows, b: MaskRows, *, block_rows: int = _ROWS, reach: int = _REACH
) -> EdgeDistances | None:
    """Distances of the disagreeing pixels, valid in both, from the nearest cloud edge of ``a``.

    An edge is a valid pixel of ``a`` with a pixel of the other class to its left or right,
    above or below.  None if no pixel disagrees, or ``a`` has no edge.  Distances up to
    ``reach`` are exact; larger ones are measured on a grid reduced by 4, to 5 pixels.
    ``block_rows``, the height of a block, is a multiple of 4.  Memory: one block, and
    half a byte for each pixel of the scene.
    """
    height, width = a.shape
    reduced = _reduced_edges(a, block_rows)
    if not reduced.any():
        return None
    far = _distance_to(reduced)
    far *= _REDUCTION
    np.maximum(far, reach + 1, out=far)  # an edge outside the block is at least that far
    counts = np.zeros(_BINS * ceil(hypot(height, width)) + 1, np.int64)
    maximum = 0.0
    around = reach + 1  # the outermost row shows whether the next row is an edge
    for top, first, rows in _blocks(a, block_rows, around):
        inner = slice(top - first, top - first + min(block_rows, height - top))
        disagreeing = (rows[inner] ^ b[top : top + block_rows]) == 1
        if not disagreeing.any():
            continue
        distance = _distance_to(_edges(rows))[inner]
        if len(rows) < height:
            coarse = _enlarged(far[top // _REDUCTION :], distance.shape)
            np.minimum(distance, coarse, out=distance, where=distance > reach + 1)
        found = distance[disagreeing]
        maximum = max(maximum, float(found.max()))
        counts += np.bincount(np.rint(found * _BINS).astype(np.int64), minlength=len(counts))
    return _summary(counts, maximum) if counts.any() else None


def _blocks(
    mask: MaskRows, block_rows: int, around: int
) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    """First row of a block, first row of what is read around it, and the rows read."""
    for top in range(0, mask.shape[0], block_rows):
        first = max(0, top - around)
        yield top, first, mask[first : top + block_rows + around]


def _edges(rows: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Valid pixels that touch the other class; only 0 and 1 have an exclusive or of 1."""
    edges = np.zeros(rows.shape, np.bool_)
    below = (rows[:-1] ^ rows[1:]) == 1
    edges[:-1] |= below
    edges[1:] |= below
    beside = (rows[:, :-1] ^ rows[:, 1:]) == 1
    edges[:, :-1] |= beside
    edges[:, 1:] |= beside
    return edges


def _reduced_edges(mask: MaskRows, block_rows: int) -> NDArray[np.bool_]:
    """Blocks of 4 by 4 pixels that hold an edge."""
    height, width = mask.shape
    step = _REDUCTION
    reduced = np.zeros((ceil(height / step), ceil(width / step)), np.bool_)
    for top, first, rows in _blocks(mask, block_rows, 1):
        edges = _edges(rows)[top - first :][:block_rows]
        target = reduced[top // step : ceil((top + len(edges)) / step)]
        for row in range(step):
            for column in range(step):
                part = edges[row::step, column::step]
                target[: part.shape[0], : part.shape[1]] |= part
    return reduced


def _distance_to(edges: NDArray[np.bool_]) -> NDArray[np.float32]:
    elsewhere = (~edges).view(np.uint8)
    distance = cv2.distanceTransform(elsewhere, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return distance.astype(np.float32, copy=False)


def _enlarged(reduced: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    rows = reduced[: ceil(shape[0] / _REDUCTION)]
    large = rows.repeat(_REDUCTION, axis=0).repeat(_REDUCTION, axis=1)
    return large[: shape[0], : shape[1]]


def _summary(counts: NDArray[np.int64], maximum: float) -> EdgeDistances:
    """Statistics of a histogram in hundredths of a pixel."""
    up_to = counts.cumsum()
    pixels = int(up_to[-1])

    def percentile(share: float) -> float:
        return int(np.searchsorted(up_to, ceil(share * pixels))) / _BINS

    return EdgeDistances(
        pixels=pixels,
        median=percentile(0.5),
        p95=percentile(0.95),
        maximum=maximum,
        within={near: int(up_to[min(near * _BINS, len(up_to) - 1)]) / pixels for near in NEAR},
    )
