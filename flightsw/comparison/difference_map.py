"""A map of two masks' differences: a reduced PNG picture, or a GeoTIFF of every pixel."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile
from rasterio.windows import Window

from flightsw.comparison.edge_distance import MaskRows
from flightsw.comparison.figures import OF_VALID, Finding, check_comparable, findings
from flightsw.errors import OutputNotWritable, UsageError
from flightsw.host.disk import disk_errors
from flightsw.products.geotiff import grid_options
from flightsw.products.panels import CLEAR_COLOUR, CONTAMINATED_COLOUR, NO_DATA_COLOUR, bgr
from flightsw.scene.scene import Georeference
from telecommands.whole_file import write_whole

LARGEST_SIDE: Final = 2196
"""Longest side of a picture, pixels: a full tile of 10,980 is reduced by 5."""

COLOURS: Final = {
    Finding.BOTH_CLEAR: CLEAR_COLOUR,
    Finding.ONLY_B: (0, 200, 255),
    Finding.ONLY_A: (255, 0, 160),
    Finding.BOTH_CONTAMINATED: CONTAMINATED_COLOUR,
    Finding.NO_DATA: NO_DATA_COLOUR,
}
"""Red, green, blue; pixels of only one mask stand out from those of both."""

_ROWS: Final = 512
_TILE: Final = 512
_CACHE_BYTES: Final = 32 << 20


def check_map(path: Path) -> None:
    """Raise :class:`UsageError` unless the name ends with ``.png`` or ``.tif``, and
    :class:`OutputNotWritable` if its folder does not exist."""
    if path.suffix.lower() not in (".png", ".tif"):
        raise UsageError(path, "is neither .png nor .tif", "Give it one of these endings")
    if not path.parent.is_dir():
        cause = f"cannot be written because {path.parent} is not a folder"
        raise OutputNotWritable(path, cause, "Make the folder first")
    if path.is_dir():
        raise OutputNotWritable(path, "is a folder", "Give the map another name")


def write_map(path: Path, a: MaskRows, b: MaskRows, georeference: Georeference | None) -> None:
    """Write the map, completely or not at all.

    Raises as :func:`check_map`, and :class:`~flightsw.errors.DiskFull`.
    """
    check_map(path)
    check_comparable(a, b)
    geotiff = path.suffix.lower() == ".tif"
    content = _as_geotiff(a, b, georeference) if geotiff else _as_png(a, b)
    with disk_errors(path.parent, len(content)):
        write_whole(path, content)


def reduced(found: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """One finding for each block of ``factor`` by ``factor`` pixels, in part at the far edges.

    A disagreement takes precedence over agreement, so that a single pixel stays visible;
    no data is used only if the block has nothing else.  Of the two disagreements, and of
    the two agreements, the more frequent is used; contaminated, and only A, win a tie.
    """
    height, width = found.shape
    padding = ((0, -height % factor), (0, -width % factor))
    padded = np.pad(found, padding, constant_values=Finding.NO_DATA)
    blocks = padded.reshape(padded.shape[0] // factor, factor, -1, factor)
    clear, only_b, only_a, contaminated = (
        (blocks == finding).sum(axis=(1, 3), dtype=np.int64) for finding in OF_VALID
    )
    chosen = np.full(clear.shape, Finding.NO_DATA, np.uint8)
    chosen[clear > 0] = Finding.BOTH_CLEAR
    chosen[(contaminated > 0) & (contaminated >= clear)] = Finding.BOTH_CONTAMINATED
    chosen[only_b > 0] = Finding.ONLY_B
    chosen[(only_a > 0) & (only_a >= only_b)] = Finding.ONLY_A
    return chosen


def _as_png(a: MaskRows, b: MaskRows) -> bytes:
    height, width = a.shape
    factor = -(-max(height, width) // LARGEST_SIDE)
    step = factor * max(1, _ROWS // factor)
    picture = np.concatenate(
        [
            reduced(findings(a[top : top + step], b[top : top + step]), factor)
            for top in range(0, height, step)
        ]
    )
    table = np.zeros((256, 3), np.uint8)
    for finding, colour in COLOURS.items():
        table[finding] = bgr(colour)
    _, encoded = cv2.imencode(".png", table[picture])
    return bytes(encoded)


def _as_geotiff(a: MaskRows, b: MaskRows, georeference: Georeference | None) -> bytes:
    height, width = a.shape
    # In memory, because GDAL does not report a full disk on closing: see products/geotiff.py.
    with (
        rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES),
        warnings.catch_warnings(),
        MemoryFile() as memory,
    ):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(
            driver="GTiff",
            height=height,
            width=width,
            count=1,
            dtype="uint8",
            nodata=Finding.NO_DATA,
            photometric="palette",
            compress="DEFLATE",
            tiled=True,
            blockxsize=_TILE,
            blockysize=_TILE,
            **grid_options(georeference),
        ) as file:
            names = (f"{finding.value} {finding.name.lower()}" for finding in Finding)
            file.set_band_description(1, ", ".join(names).replace("_", " "))
            file.write_colormap(1, {int(finding): rgb for finding, rgb in COLOURS.items()})
            for top in range(0, height, _ROWS):
                rows = findings(a[top : top + _ROWS], b[top : top + _ROWS])
                file.write(rows, 1, window=Window(0, top, width, len(rows)))
        return bytes(memory.getbuffer())
