"""Lossless copies of decoded bands, which the next pass over a scene decodes in a fraction.

A copy is a ZIP file without compression: an HTJ2K codestream (JPEG 2000 part 15) for each tile of
the band's file, made by OpenJPH as it is decoded.  It is named after the checksum that the
product's manifest lists for the file, and appears when the file is known to have that checksum.
ZIP's own checksums show damage to a copy, and one of the pixels that the coder erred; the file is
then decoded as without it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import threading
import weakref
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import structlog
from numpy.typing import NDArray

from flightsw.errors import UsageError
from flightsw.host.disk import sync
from flightsw.scene.jp2 import Jp2Band
from flightsw.scene.strips import Check

_log: Final = structlog.get_logger(__name__)
_LEAST_SIDE: Final = 64  # pixels of a cell: smaller files are decoded faster than they are opened
_SHARD: Final = 2  # characters: 256 folders
_FIRST_USE: Final = threading.Lock()  # of the coder


@dataclass(frozen=True)
class CopiedBand:
    """A :class:`Jp2Band` read from its copy, or copied; a ``StripPart`` like it.

    ``rows`` and ``columns`` are those of a cell, a tile of the file at the band's resolution.
    """

    exact: Jp2Band
    rows: int
    columns: int
    copy: _Copy

    @property
    def bands(self) -> slice:
        """Which bands of the strip these are."""
        return self.exact.bands

    def read(self, top: int, left: int, targets: Sequence[NDArray[np.uint16]]) -> None:
        """Fill the targets as :meth:`Jp2Band.read` does, from the copy if there is one."""
        if self.copy.fill(top, left, targets, (self.rows, self.columns)):
            return
        self.exact.read(top, left, targets)
        for cell, pixels in self._whole_cells(top, left, targets):
            self.copy.add(cell, pixels)

    def checking(self, check: Check) -> Check:
        """The check of the band's file, after which the copy may appear."""

        def check_and_publish(stop: threading.Event) -> None:
            check(stop)
            if not stop.is_set():  # otherwise the check may have ended early
                self.copy.verify()

        return check_and_publish

    def _whole_cells(
        self, top: int, left: int, targets: Sequence[NDArray[np.uint16]]
    ) -> Iterator[tuple[str, NDArray[np.uint16]]]:
        image, step = self.exact.codestream, self.exact.step
        height, width = -(-image.height // step), -(-image.width // step)
        bottom, right = top + sum(each.shape[1] for each in targets), left + targets[0].shape[2]
        for row in range(-(-top // self.rows) * self.rows, bottom, self.rows):
            for column in range(-(-left // self.columns) * self.columns, right, self.columns):
                below, beside = min(row + self.rows, height), min(column + self.columns, width)
                if below <= bottom and beside <= right:
                    pixels = [
                        plane[:, column - left : beside - left]
                        for plane in _rows_of(targets, row - top, below - top)
                    ]
                    yield _cell_name(row, column), np.concatenate(pixels)


def copied(
    folder: Path, bands: Sequence[Jp2Band], keys: Sequence[str]
) -> tuple[Jp2Band | CopiedBand, ...]:
    """The bands with copies in ``folder``; a key is the checksum of the band's file, or empty.

    A band without a key is left as it is, and so is one whose tiles are too small or do not divide
    at its resolution.  Raises :class:`UsageError` without the coder (the extra ``archive``).
    """
    _require_coder()
    return tuple(
        _with_copy(folder, band, key) if key else band
        for band, key in zip(bands, keys, strict=True)
    )


def _with_copy(folder: Path, band: Jp2Band, key: str) -> Jp2Band | CopiedBand:
    image, step = band.codestream, band.step
    rows, columns = image.tile_height // step, image.tile_width // step
    whole = (image.tile_height % step, image.tile_width % step) == (0, 0)
    many = image.tiles > 1
    if (many and not whole) or min(rows, columns) < _LEAST_SIDE:
        return band
    if not many:
        rows, columns = -(-image.height // step), -(-image.width // step)
    cells = -(-image.height // image.tile_height) * -(-image.width // image.tile_width)
    path = folder / key[:_SHARD] / f"{key}_{step}.zip"
    return CopiedBand(band, rows, columns, _Copy(path, cells))


@dataclass
class _Copy:
    """The copy of one band: read if it is there, otherwise written and published when complete.

    Several threads read and write different cells.
    """

    path: Path
    cells: int
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _reader: zipfile.ZipFile | None = None
    _looked: bool = False
    _writer: _Writer | None = None
    _verified: bool = False
    _given_up: bool = False

    def fill(
        self, top: int, left: int, targets: Sequence[NDArray[np.uint16]], cell: tuple[int, int]
    ) -> bool:
        """Whether the targets were filled from the copy."""
        if (reader := self._opened()) is None:
            return False
        rows, columns = cell
        bottom, right = top + sum(each.shape[1] for each in targets), left + targets[0].shape[2]
        try:
            for row in range(top // rows * rows, bottom, rows):
                for column in range(left // columns * columns, right, columns):
                    pixels = _decode(reader, _cell_name(row, column))
                    _place(pixels, row - top, column - left, targets)
        except (OSError, KeyError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as why:
            _log.warning("a copy of a band is damaged", path=str(self.path), cause=repr(why))
            with self._lock:
                self._reader = None
            return False
        return True

    def add(self, cell: str, pixels: NDArray[np.uint16]) -> None:
        """Keep the pixels of a cell; an error of the disk ends the copy, not the scene."""
        if self._given_up:
            return
        try:
            code, checksum = _encode(pixels), _checksum(pixels)
            with self._lock:
                if self._writer is None:
                    self._writer = _Writer(self.path)
                self._writer.add(cell, code, checksum)
                self._publish_if_complete()
        except (OSError, RuntimeError, ValueError) as why:
            self._give_up(why)

    def verify(self) -> None:
        """The band's file has its checksum: the copy may appear."""
        try:
            with self._lock:
                self._verified = True
                self._publish_if_complete()
        except OSError as why:
            self._give_up(why)

    def _opened(self) -> zipfile.ZipFile | None:
        with self._lock:
            if not self._looked:
                self._looked = True
                try:
                    self._reader = zipfile.ZipFile(self.path)
                except FileNotFoundError:
                    self._reader = None
                except (OSError, zipfile.BadZipFile) as why:
                    _log.warning("a copy of a band is damaged", path=self.path, cause=repr(why))
            return self._reader

    def _publish_if_complete(self) -> None:
        if self._writer and self._verified and len(self._writer.names) == self.cells:
            self._writer.publish()
            self._given_up = True  # it is complete

    def _give_up(self, why: Exception) -> None:
        _log.warning("a band is not copied", path=str(self.path), cause=repr(why))
        with self._lock:
            self._given_up = True
            if self._writer:
                self._writer.discard()


class _Writer:
    """A copy while it is written: locked, under a name of its own."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(path)
        self._path = path
        self._partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        descriptor = os.open(self._partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC)
        self._file = os.fdopen(descriptor, "w+b")
        self._archive = zipfile.ZipFile(self._file, "w", zipfile.ZIP_STORED)
        # A scene may be abandoned anywhere: then this object is dropped.
        self.discard = weakref.finalize(self, _discard, self._file, self._archive, self._partial)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.names: set[str] = set()

    def add(self, name: str, code: bytes, checksum: bytes) -> None:
        if name not in self.names:
            member = zipfile.ZipInfo(name)
            member.comment = checksum
            self._archive.writestr(member, code)
            self.names.add(name)

    def publish(self) -> None:
        self._archive.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._partial.replace(self._path)
        self.discard.detach()
        self._file.close()
        sync(self._path.parent)


def _discard(file: IO[bytes], archive: zipfile.ZipFile, partial: Path) -> None:
    with suppress(OSError, ValueError):  # on a full disk
        archive.close()
    with suppress(OSError):
        file.close()
    partial.unlink(missing_ok=True)


def _remove_stale(path: Path) -> None:
    """Delete what processes that have ended left of this copy."""
    for partial in path.parent.glob(f".{path.name}.*.partial"):
        with partial.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            partial.unlink(missing_ok=True)


def _cell_name(row: int, column: int) -> str:
    return f"{row}_{column}.j2c"


def _rows_of(
    targets: Sequence[NDArray[np.uint16]], first: int, last: int
) -> Iterator[NDArray[np.uint16]]:
    """Rows of arrays that lie one below the other, each ``(rows, columns)``."""
    top = 0
    for target in targets:
        plane = target[0]
        begin, end = max(first - top, 0), min(last - top, len(plane))
        if begin < end:
            yield plane[begin:end]
        top += len(plane)


def _place(
    pixels: NDArray[np.uint16], row: int, column: int, targets: Sequence[NDArray[np.uint16]]
) -> None:
    """Copy a cell, whose first pixel is at (row, column) of the targets, into them."""
    height, width = pixels.shape
    begin, end = max(column, 0), min(column + width, targets[0].shape[2])
    taken = max(-row, 0)
    for plane in _rows_of(targets, max(row, 0), row + height):
        plane[:, begin:end] = pixels[taken : taken + len(plane), begin - column : end - column]
        taken += len(plane)


def _require_coder() -> Any:
    try:
        import imagecodecs  # noqa: PLC0415 - an extra
    except ImportError as error:
        cause = "need imagecodecs, which is not installed"
        cure = "Install flightsw[archive] on Python 3.11 or later, or omit the copies"
        raise UsageError("copies of the bands", cause, cure) from error
    with _FIRST_USE:
        _make_tables(imagecodecs)
    return imagecodecs


@lru_cache
def _make_tables(coder: Any) -> None:
    """OpenJPH 0.26 does so at its first use, and what two threads encode meanwhile is wrong.

    A decoder gives zeros for it, and no error.
    """
    coder.htj2k_encode(np.zeros((_LEAST_SIDE, _LEAST_SIDE), np.uint16), reversible=True)


def _checksum(pixels: NDArray[np.uint16]) -> bytes:
    return zlib.crc32(np.ascontiguousarray(pixels).data).to_bytes(4, "big")


def _encode(pixels: NDArray[np.uint16]) -> bytes:
    code = _require_coder().htj2k_encode(np.ascontiguousarray(pixels), reversible=True)
    return bytes(code)


def _decode(archive: zipfile.ZipFile, cell: str) -> NDArray[np.uint16]:
    pixels: NDArray[np.uint16] = _require_coder().htj2k_decode(archive.read(cell))
    if pixels.dtype != np.uint16 or pixels.ndim != 2:
        raise ValueError(f"a cell holds {pixels.dtype} {pixels.shape}")
    if _checksum(pixels) != archive.getinfo(cell).comment:
        raise ValueError(f"cell {cell} does not hold the pixels that were copied")
    return pixels
