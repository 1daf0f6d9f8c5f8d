"""Files on the disk: opening them, what its errors mean, waiting until they are on it."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Final

from flightsw.errors import DiskFull, OutputNotWritable
from telecommands.failure import reason_of
from telecommands.units import size

_CHUNK: Final = 4 << 20
# EFBIG: a limit on the size of a file (RLIMIT_FSIZE, or that of the file system).
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def disk_errors(folder: Path, needed: int | None = None) -> Iterator[None]:
    """Turn :class:`OSError` into :class:`DiskFull` or :class:`OutputNotWritable`.

    ``needed`` is about how many bytes are written into the folder, if that is known.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _disk_full(folder, f"cannot be written ({reason_of(error)})", needed) from error
        cure = "Give a folder on a disk that can be written"
        raise OutputNotWritable(
            error.filename or folder, f"cannot be written ({reason_of(error)})", cure
        ) from error


def check_space(folder: Path, needed: int) -> None:
    """Raise :class:`DiskFull` if the folder's file system has less than that many bytes."""
    if _free(folder) < needed:
        raise _disk_full(folder, "has too little room", needed)


def open_plain(path: Path) -> FileIO:
    """Open a plain file to read it, without a buffer; opening it never waits.

    Raises :class:`OSError`, with EINVAL for a folder, a FIFO, a socket and a device, which are
    not opened: a FIFO would wait for its writer, and opening a device may change it.
    """
    check_plain(path)
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    file = FileIO(os.open(path, flags), "r")
    try:
        _require_plain(os.fstat(file.fileno()), path)  # it may have been replaced meanwhile
    except OSError:
        file.close()
        raise
    return file


def check_plain(path: Path) -> None:
    """Raise :class:`OSError` as :func:`open_plain` does, for a library that opens by path."""
    _require_plain(path.stat(), path)


def read_plain(path: Path, limit: int) -> bytes:
    """The content of a plain file of at most ``limit`` bytes, of which no more is read.

    Raises :class:`OSError`, with EFBIG if the file is larger.
    """
    content = bytearray()
    with open_plain(path) as file:
        while chunk := file.read(min(_CHUNK, limit + 1 - len(content))):
            content += chunk
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes", str(path))
    return bytes(content)


def has_room(folder: Path, size: int) -> bool:
    """Whether a file of ``size`` bytes can be written into the folder now; it is not kept.

    Unlike free bytes, this knows of quotas, limits and file systems mounted read-only.
    """
    probe = folder / f".room.{secrets.token_hex(4)}"
    try:
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
        finally:
            os.close(descriptor)
            probe.unlink()
    except OSError:
        return False
    return True


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Make a folder and those above it, unless they exist; their names are on the disk then.

    Without that, a power cut may take a folder away with all that was synchronised in it.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=mode, exist_ok=True)
    sync(folder.parent)


def remove_remains(folder: Path) -> None:
    """Remove what a crash left of ``write_whole`` and :func:`has_room` in the folder.

    Only for a folder that nobody else writes into.  What cannot be removed stays.
    """
    for pattern in (".*.partial", ".room.*"):
        for path in folder.glob(pattern):
            with suppress(OSError):
                path.unlink()


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """SHA-256 of a plain file, in hexadecimal; raises what :func:`open_plain` raises."""
    digest, chunk = hashlib.sha256(), memoryview(bytearray(_CHUNK))
    with open_plain(path) as file:
        while size := file.readinto(chunk):
            digest.update(chunk[:size])
    return digest.hexdigest()


def _require_plain(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a plain file", str(path))


def _free(folder: Path) -> int:
    status = os.statvfs(folder if folder.exists() else folder.parent)
    return status.f_bavail * status.f_frsize


def _disk_full(folder: Path, reason: str, needed: int | None) -> DiskFull:
    free = _free(folder)
    fields = {"free_bytes": free} | ({} if needed is None else {"needed_bytes": needed})
    wanted = "" if needed is None else f"about {size(needed)} are needed, "
    cause = f"{reason}: {wanted}{size(free)} are free"
    return DiskFull(folder, cause, "Free some space, or write less", **fields)
