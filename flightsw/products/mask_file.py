"""Cloud masks read from disk, some rows at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import MADV_DONTNEED, mmap
from pathlib import Path
from tokenize import TokenError
from typing import Any, Final

import cv2
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from flightsw.errors import ProductError, UsageError
from flightsw.products.contents import CLEAR, CONTAMINATED, NO_DATA
from flightsw.products.report import SceneReport, read_report
from flightsw.scene.scene import Georeference

_MASK_PRODUCTS: Final = ("mask", "geotiff", "cog")  # the array is read faster
_GEOTIFF: Final = (".tif", ".tiff")
_CACHE_BYTES: Final = 32 << 20
_CURE: Final = "Give a cloud mask (.npy or GeoTIFF) or an output folder of flightsw process"

_INVALID: Final = 254


def _meaning(contaminated: Collection[int]) -> NDArray[np.uint8]:
    table = np.full((1, 256), _INVALID, np.uint8)
    table[0, list(contaminated)] = CONTAMINATED
    table[0, [0, 255]] = CLEAR, NO_DATA
    return table


_OF_MASK: Final = _meaning([1])
_OF_ARRAY: Final = _meaning([1, 2, 3])  # the truth of a simulated scene has classes


@dataclass(frozen=True)
class MaskFile:
    """A mask on disk; ``mask[top:bottom]`` reads these rows.

    Rows are uint8 ``(rows, width)``: 0 clear, 1 contaminated, 255 no data.  In an array
    the classes 2 and 3 of a simulated scene's truth count as contaminated, too.
    Reading raises :class:`~flightsw.errors.ProductError` if the file is damaged or
    holds other values.  ``scene`` and ``engine`` are None if unknown.
    """

    path: Path
    shape: tuple[int, int]
    scene: str | None
    engine: str | None
    georeference: Georeference | None
    _read: Callable[[int, int], NDArray[np.uint8]]
    _meaning: NDArray[np.uint8]

    def __getitem__(self, rows: slice) -> NDArray[np.uint8]:
        """Read consecutive rows."""
        top, bottom, _ = rows.indices(self.shape[0])
        values = self._read(top, bottom)
        mask = cv2.LUT(values, self._meaning).astype(np.uint8, copy=False)
        if (invalid := mask == _INVALID).any():
            raise ProductError(
                self.path,
                f"is not a mask: it holds the value {values[invalid][0]}",
                "Give a file with 0 clear, 1 contaminated, 255 no data",
            )
        return mask


@contextmanager
def open_mask(path: Path) -> Iterator[MaskFile]:
    """Open a mask file, or the mask file of a product folder.

    The folder's ``report.json`` names the mask; without a report the folder must hold one
    ``*_cloud_mask``.  Raises :class:`~flightsw.errors.UsageError` if no mask can be
    chosen and :class:`~flightsw.errors.ProductError` if the file cannot be read.
    """
    if not path.exists():
        raise UsageError(path, "does not exist", _CURE)
    file, report = _mask_of_folder(path) if path.is_dir() else (path, None)
    if file.suffix.lower() in _GEOTIFF:
        with _geotiff(file) as mask:
            yield mask
    elif file.suffix.lower() == ".npy":
        yield _array(file, report)
    else:
        raise UsageError(file, "is neither .npy nor .tif", _CURE)


def _mask_of_folder(folder: Path) -> tuple[Path, SceneReport | None]:
    reports = sorted(folder.glob("*report.json"))
    if len(reports) > 1:
        raise _ambiguous(folder, reports)
    if reports:
        report = read_report(reports[0])
        return _mask_of_report(reports[0], report), report
    masks = [
        mask
        for form in ("*_cloud_mask.npy", "*_cloud_mask.tif", "*_cloud_mask_cog.tif")
        for mask in sorted(folder.glob(form))
    ]
    if not masks:
        raise UsageError(folder, "holds no cloud mask", _CURE)
    if len({mask.stem.removesuffix("_cog") for mask in masks}) > 1:
        raise _ambiguous(folder, masks)
    return masks[0], None


def _mask_of_report(path: Path, report: SceneReport) -> Path:
    for product in _MASK_PRODUCTS:
        for record in report.files:
            if record.product != product:
                continue
            mask = path.parent / record.name
            size = mask.stat().st_size if mask.is_file() else None
            if size != record.bytes:
                found = "does not exist" if size is None else f"has {size:,} bytes"
                cause = f"{found}, but {path.name} lists {record.bytes:,} bytes"
                raise ProductError(mask, cause, "Process the scene again")
            return mask
    raise UsageError(path, "lists no mask", "Process the scene with --products mask")


def _ambiguous(folder: Path, found: list[Path]) -> UsageError:
    names = [path.name for path in found]
    return UsageError(folder, f"holds several masks ({', '.join(names)})", "Give one of the files")


def _array(path: Path, report: SceneReport | None) -> MaskFile:
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise _unreadable(path, error.strerror or "not a .npy file") from error
    except (ValueError, EOFError, TokenError) as error:
        raise _unreadable(path, str(error)) from error
    if array.ndim != 2:
        raise ProductError(path, f"is not a mask: it has the shape {array.shape}", _CURE)
    _check_kind(path, array.dtype, array.size)
    return MaskFile(
        path,
        (array.shape[0], array.shape[1]),
        scene=report.scene.name if report else None,
        engine=f"{report.engine.name} {report.engine.precision}" if report else None,
        georeference=_georeference(report),
        _read=lambda top, bottom: _rows_of_array(array, top, bottom),
        _meaning=_OF_ARRAY,
    )


def _rows_of_array(array: NDArray[np.uint8], top: int, bottom: int) -> NDArray[np.uint8]:
    rows = np.array(array[top:bottom])
    if isinstance(array.base, mmap):
        array.base.madvise(MADV_DONTNEED)  # otherwise the whole file stays in memory
    return rows


def _georeference(report: SceneReport | None) -> Georeference | None:
    if report is None or report.scene.crs is None or report.scene.transform is None:
        return None
    return Georeference(report.scene.crs, report.scene.transform)


@contextmanager
def _geotiff(path: Path) -> Iterator[MaskFile]:
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            file = rasterio.open(path)
        except RasterioError as error:
            raise _unreadable(path, str(error)) from error
        with file:
            if file.count != 1:
                raise ProductError(path, f"is not a mask: it has {file.count} bands", _CURE)
            _check_kind(path, np.dtype(file.dtypes[0]), file.height * file.width)
            place = Georeference(file.crs.to_string(), file.transform[:6]) if file.crs else None
            tags = file.tags()
            yield MaskFile(
                path,
                (file.height, file.width),
                scene=tags.get("scene"),
                engine=tags.get("engine"),
                georeference=place,
                _read=lambda top, bottom: _rows_of_geotiff(file, path, top, bottom),
                _meaning=_OF_MASK,
            )


def _rows_of_geotiff(file: Any, path: Path, top: int, bottom: int) -> NDArray[np.uint8]:
    window = Window(0, top, file.width, bottom - top)
    try:
        rows: NDArray[np.uint8] = file.read(1, window=window)
        rows[file.read_masks(1, window=window) == 0] = NO_DATA
    except RasterioError as error:
        raise _unreadable(path, str(error)) from error
    return rows


def _check_kind(path: Path, dtype: np.dtype[Any], size: int) -> None:
    if dtype != np.uint8:
        raise ProductError(path, f"is not a mask: it holds {dtype}", _CURE)
    if not size:
        raise ProductError(path, "is not a mask: it has no pixel", _CURE)


def _unreadable(path: Path, reason: str) -> ProductError:
    return ProductError(path, f"cannot be read ({' '.join(reason.split())})", _CURE)
