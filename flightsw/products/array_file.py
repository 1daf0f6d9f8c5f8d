"""NumPy files that grow row by row, and the cloud mask as one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from flightsw.products.contents import FinishedRows, SceneSummary
from flightsw.scene.scene import SceneMetadata


class ArrayFile:
    """A ``.npy`` file (format 1.0, C order) whose rows are appended."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.file = path.open("xb+", buffering=0)
        header = {
            "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
            "fortran_order": False,
            "shape": shape,
        }
        np.lib.format.write_array_header_1_0(self.file, header)
        self.data_offset = self.file.tell()

    def append(self, rows: NDArray[Any]) -> None:
        """Write all of the rows, or raise :class:`OSError`."""
        unwritten = np.ascontiguousarray(rows).data.cast("B")
        while unwritten:
            unwritten = unwritten[self.file.write(unwritten) :]

    def close(self) -> None:
        """Close the file; may be called more than once."""
        self.file.close()


class MaskArray:
    """The mask as ``cloud_mask.npy``: uint8 (height, width), 0 clear, 1 contaminated, 255 no data.

    ``np.load(..., mmap_mode="r")`` opens it without reading it.
    """

    suffixes = ("cloud_mask.npy",)

    def __init__(self, folder: Path, scene: SceneMetadata) -> None:
        self._file = ArrayFile(folder / self.suffixes[0], (scene.height, scene.width), np.uint8)

    def write(self, rows: FinishedRows) -> None:
        """Append the rows' mask."""
        self._file.append(rows.mask)

    def finish(self, summary: SceneSummary) -> tuple[str, ...]:  # noqa: ARG002
        """Close the file: nothing else is left to do."""
        self.close()
        return ()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
