"""A scene reduced while it streams: area means of square blocks of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from flightsw.products.contents import CONTAMINATED, NO_DATA, FinishedRows
from flightsw.products.row_blocks import RowBlocks
from flightsw.scene.scene import SceneMetadata

PREVIEW_BANDS: Final = ("B02", "B03", "B04", "B08")
USUAL_FACTOR: Final = 6
"""Reduction of the reference's visualisation: a full tile becomes 1,830 pixels."""

_LARGEST_SIDE: Final = 1830
_SMALLEST_SIDE: Final = 200
_ROWS_AT_ONCE: Final = 96


@dataclass(frozen=True)
class Preview:
    """Reduced scene, arrays of ``(rows, columns)``.

    ``digital_numbers`` uint16 ``(4, rows, columns)`` in the order of
    :data:`PREVIEW_BANDS`: mean of the block's valid pixels; ``valid`` and
    ``contaminated`` uint8: share of the block's pixels, 255 = all.
    """

    digital_numbers: NDArray[np.uint16]
    valid: NDArray[np.uint8]
    contaminated: NDArray[np.uint8]
    factor: int


def reduction_factor(height: int, width: int) -> int:
    """Pixels a side of a block: 6, fewer for a small scene, more beyond a full tile."""
    small_enough = min(height, width) // _SMALLEST_SIDE
    large_enough = -(-max(height, width) // _LARGEST_SIDE)
    return max(1, min(USUAL_FACTOR, small_enough), large_enough)


class PreviewAccumulator:
    """Takes finished rows of any heights; blocks that extend beyond the edge are partly filled."""

    def __init__(self, scene: SceneMetadata) -> None:
        self._factor = reduction_factor(scene.height, scene.width)
        self._bands = [scene.bands.index(band) for band in PREVIEW_BANDS]
        shape = (-(-scene.height // self._factor), -(-scene.width // self._factor))
        self._preview = Preview(
            digital_numbers=np.zeros((len(PREVIEW_BANDS), *shape), np.uint16),
            valid=np.zeros(shape, np.uint8),
            contaminated=np.zeros(shape, np.uint8),
            factor=self._factor,
        )
        rows_per_decode = self._factor * max(1, _ROWS_AT_ONCE // self._factor)
        self._blocks = RowBlocks(scene.height, rows_per_decode)

    def add(self, rows: FinishedRows) -> None:
        """Reduce the blocks that these rows complete."""
        for top, (numbers, mask) in self._blocks.add(rows.bands, rows.mask):
            self._reduce(top // self._factor, numbers, mask)

    def preview(self) -> Preview:
        """The reduced scene, after all rows were added."""
        return self._preview

    def _reduce(self, top: int, numbers: NDArray[np.uint16], mask: NDArray[np.uint8]) -> None:
        valid = _as_255(mask != NO_DATA)
        valid_share = self._area_mean(valid)
        rows = slice(top, top + len(valid_share))
        self._preview.valid[rows] = valid_share
        self._preview.contaminated[rows] = self._area_mean(_as_255(mask == CONTAMINATED))
        part_filled = (valid_share > 0) & (valid_share < 255)
        for target, band in zip(self._preview.digital_numbers, self._bands, strict=True):
            mean = self._area_mean(cv2.bitwise_and(numbers[band], numbers[band], mask=valid))
            target[rows] = mean
            if part_filled.any():
                whole = mean[part_filled] * (255 / valid_share[part_filled])
                target[rows][part_filled] = np.minimum(np.rint(whole), 65535)

    def _area_mean(self, plane: NDArray[Any]) -> NDArray[Any]:
        factor = self._factor
        height, width = plane.shape
        below, beside = -height % factor, -width % factor
        if below or beside:
            plane = cv2.copyMakeBorder(plane, 0, below, 0, beside, cv2.BORDER_CONSTANT, value=0)
        size = ((width + beside) // factor, (height + below) // factor)
        reduced: NDArray[Any] = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
        return reduced


def _as_255(chosen: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return chosen.view(np.uint8) * np.uint8(255)
