"""Cloud-filled bands: contaminated pixels take the mean reflectance of the clear ones.

The mean is known only after the last row, so the bands are written to disk with
contaminated pixels marked, and a second pass replaces the marks.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from flightsw.products.array_file import ArrayFile
from flightsw.products.contents import CLEAR, CONTAMINATED, FinishedRows, SceneSummary
from flightsw.scene.reflectance import reflectance_table
from flightsw.scene.scene import SceneMetadata

FILLED_BANDS: Final = ("B02", "B03", "B04")

_MARK: Final = 0x7E00  # a float16 NaN, which no reflectance is
_PASS_BYTES: Final = 4 << 20

# By mask value: the bits that mark a contaminated pixel, 0 for any other.
_MARKS: Final = np.zeros((1, 256), np.uint16)
_MARKS[0, CONTAMINATED] = _MARK


class CloudFill:
    """``rgb_b0{2,3,4}_rec.npy``: float16 reflectance (height, width), no data 0.

    The mean is over all clear pixels; if there are none, contaminated pixels become 0
    and a remark says so.  Sums are of integers, exact below 2**53,
    so that the mean does not depend on how the rows are divided.
    """

    suffixes = tuple(f"rgb_{band.lower()}_rec.npy" for band in FILLED_BANDS)

    def __init__(self, folder: Path, scene: SceneMetadata) -> None:
        shape = (scene.height, scene.width)
        self._bands: list[_FilledBand] = []
        try:
            for band, suffix in zip(FILLED_BANDS, self.suffixes, strict=True):
                file = ArrayFile(folder / suffix, shape, np.float16)
                self._bands.append(_FilledBand(file, scene, band))
        except BaseException:
            self.close()
            raise

    def write(self, rows: FinishedRows) -> None:
        """Write the rows with their contaminated pixels marked."""
        clear = (rows.mask == CLEAR).view(np.uint8)
        marks = cv2.LUT(rows.mask, _MARKS).astype(np.uint16, copy=False)
        for band in self._bands:
            band.write(rows.bands, clear, marks)

    def finish(self, summary: SceneSummary) -> tuple[str, ...]:  # noqa: ARG002
        """Replace the marks by the means."""
        remarks = tuple(remark for band in self._bands if (remark := band.fill()))
        self.close()
        return remarks

    def close(self) -> None:
        """Close the files."""
        for band in self._bands:
            band.file.close()


class _FilledBand:
    def __init__(self, file: ArrayFile, scene: SceneMetadata, band: str) -> None:
        self.file = file
        self._name = band
        self._index = scene.bands.index(band)
        self._offset = scene.offsets[band]
        self._quantification = scene.quantification
        table = reflectance_table(self._offset, self._quantification, np.float16)
        self._table = table.view(np.uint16).reshape(1, -1)
        self._clear_sum = 0
        self._clear_count = 0

    def write(
        self,
        digital_numbers: NDArray[np.uint16],
        clear: NDArray[np.uint8],
        marks: NDArray[np.uint16],
    ) -> None:
        numbers = digital_numbers[self._index]
        seen = cv2.bitwise_and(numbers, numbers, mask=clear)  # 0 unless clear
        self._clear_sum += int(cv2.sumElems(seen)[0])
        self._clear_count += cv2.countNonZero(clear)
        self.file.append(cv2.bitwise_or(cv2.LUT(seen, self._table), marks))

    def fill(self) -> str | None:
        remark, value = None, np.float16(0)
        if self._clear_count:
            mean = self._clear_sum / self._clear_count
            value = np.float16((mean + self._offset) / self._quantification)
        else:
            remark = f"{self._name} has no clear pixel, so contaminated pixels are filled with 0"
        _replace_marks(self.file, value.view(np.uint16))
        return remark


def _replace_marks(spool: ArrayFile, value: np.uint16) -> None:
    block = np.empty(_PASS_BYTES // 2, np.uint16)
    descriptor, position = spool.file.fileno(), spool.data_offset
    while size := os.preadv(descriptor, [block.data.cast("B")], position):
        pixels = block[: size // 2]
        marked = pixels == _MARK
        if marked.any():
            pixels[marked] = value
            _write_at(descriptor, pixels, position)
        position += size


def _write_at(descriptor: int, pixels: NDArray[np.uint16], position: int) -> None:
    unwritten = pixels.data.cast("B")
    while unwritten:
        written = os.pwrite(descriptor, unwritten, position)
        unwritten, position = unwritten[written:], position + written
