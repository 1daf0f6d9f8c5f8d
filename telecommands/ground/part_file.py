"""A product in transfer: a hidden file next to its target, hashed as it grows, then renamed."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from pathlib import Path
from types import TracebackType
from typing import Final

from typing_extensions import Self

from telecommands.dictionary import ProductOffer
from telecommands.ground.errors import TransferFailed, product_error
from telecommands.whole_file import sync_folder

_READ_BYTES: Final = 1 << 20
_FLUSH_BYTES: Final = 16 << 20
_MOST_NAME_BYTES: Final = 200
_LOG: Final = "Check the service log"
_SHA256: Final = re.compile(r"[0-9a-f]{64}\Z")
_PLAIN: Final = re.compile(r"[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*\Z")


def place_of(offer: ProductOffer, folder: Path) -> Path:
    """``folder/UNIT/JOB/NAME``; :class:`TransferFailed` if that could leave the folder."""
    for part in (offer.unit, offer.job, offer.name):
        if _PLAIN.match(part) is None or len(part.encode()) > _MOST_NAME_BYTES:
            cause = f"has {part!r:.80}, which is not a plain file name"
            raise TransferFailed(offer.product, cause, _LOG)
    if _SHA256.match(offer.sha256) is None:
        raise TransferFailed(
            offer.product, f"has {offer.sha256!r:.80}, which is not a SHA-256", _LOG
        )
    return folder / offer.unit / offer.job / offer.name


def is_complete(place: Path, offer: ProductOffer) -> bool:
    """Whether the complete product is already stored there, by size and SHA-256."""
    try:
        if not place.is_file():
            return False
        with place.open("rb") as file:
            if os.fstat(file.fileno()).st_size != offer.size:
                return False
            return _digest(file.fileno(), offer.size).hexdigest() == offer.sha256
    except OSError as error:
        raise product_error(place, error) from error


class PartFile:
    """The hidden file ``.NAME.SHA.part``; an interrupted transfer is resumed from this file.

    A context manager for one process at a time.  Raises
    :class:`~telecommands.ground.errors.ProductError` for errors of the system and
    :class:`TransferFailed` if another receiver holds the file.
    """

    def __init__(self, place: Path, offer: ProductOffer) -> None:
        self._place = place
        self._offer = offer
        self._path = place.with_name(f".{place.name}.{offer.sha256[:16]}.part")
        self._flushed = 0
        self.position = 0
        """Bytes stored from the start without a gap."""
        self._handle = self._opened()
        try:
            self._resume()
        except BaseException:
            os.close(self._handle)
            raise

    def append(self, data: memoryview) -> None:
        """Store the next bytes."""
        self._hash.update(data)
        written = 0
        try:
            while written < len(data):
                written += os.write(self._handle, data[written:])
        except OSError as error:
            raise product_error(self._place, error) from error
        self.position += len(data)
        if self.position - self._flushed >= _FLUSH_BYTES:
            self._flushed = self.position
            # Starts writing to disk now, so that the final fsync is short.
            os.posix_fadvise(self._handle, 0, 0, os.POSIX_FADV_DONTNEED)

    def fits(self) -> bool:
        """Whether the file is complete and has the offered SHA-256."""
        return self.position == self._offer.size and self.sha256 == self._offer.sha256

    @property
    def sha256(self) -> str:
        """SHA-256 of the stored bytes, in hexadecimal."""
        return self._hash.hexdigest()

    def publish(self) -> None:
        """Move the file to its target; it is on the disk before this returns."""
        try:
            os.fsync(self._handle)
            self._path.replace(self._place)
            for folder in self._place.parents[:3]:  # of the job, of the unit, of all
                sync_folder(folder)
        except OSError as error:
            raise product_error(self._place, error) from error

    def restart(self) -> None:
        """Discard the stored bytes."""
        self._begin_at(0)

    def remove(self) -> None:
        """Delete the file."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            with contextlib.suppress(OSError):  # the SHA-256 finds what is missing
                os.fdatasync(self._handle)
        os.close(self._handle)

    def _opened(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._place.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path, flags, 0o644)
        except OSError as error:
            raise product_error(self._place, error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(handle), self._path.lstat()):
                raise FileNotFoundError(self._path)  # published a moment ago
        except OSError as error:
            os.close(handle)
            cause = "is being written by another receiver"
            raise TransferFailed(self._path, cause, "Run one receiver per folder") from error
        return handle

    def _resume(self) -> None:
        """Keep all stored bytes: the SHA-256 of the whole finds what a power cut damaged."""
        stored = os.fstat(self._handle).st_size
        self._begin_at(stored if stored <= self._offer.size else 0)

    def _begin_at(self, position: int) -> None:
        try:
            os.ftruncate(self._handle, position)
            self._hash = _digest(self._handle, position)
            self.position = self._flushed = os.lseek(self._handle, position, os.SEEK_SET)
        except OSError as error:
            raise product_error(self._place, error) from error


def _digest(handle: int, size: int) -> hashlib._Hash:
    digest = hashlib.sha256()
    os.lseek(handle, 0, os.SEEK_SET)
    while size > 0:
        data = os.read(handle, min(size, _READ_BYTES))
        if not data:
            break
        digest.update(data)
        size -= len(data)
    return digest
