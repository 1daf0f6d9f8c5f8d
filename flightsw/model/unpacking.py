"""Unpacks an uplinked archive: plain files below one folder, and nothing else.

The archive is tar in the plain form of POSIX.1-1988 (ustar).  It is not compressed and has no
extended headers, so that nothing in it can grow: memory is bounded by a block, the disk by the
size of the archive.
"""

from __future__ import annotations

import os
import re
import tarfile
from io import FileIO
from pathlib import Path, PurePosixPath
from typing import Final

from flightsw.host.disk import sync
from telecommands.dictionary import Code
from telecommands.failure import reason_of
from telecommands.refusal import Refusal

_BLOCK: Final = tarfile.BLOCKSIZE
_PIECE: Final = 1 << 20
_MOST_FILES: Final = 1000
_DEEPEST: Final = 4
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}\Z")


def unpack(archive: FileIO, folder: Path) -> None:
    """Write the archive's files into the new ``folder``; all of it is on the disk at the return.

    Raises :class:`Refusal` UPLINK_DAMAGED for links, devices, names that are not plain or leave
    the folder, and whatever is not ustar; :class:`OSError` if the disk does not take it.
    """
    folder.mkdir(mode=0o700)
    left = os.fstat(archive.fileno()).st_size
    files = 0
    while left >= _BLOCK:
        block = _read(archive, _BLOCK)
        left -= _BLOCK
        if not block.strip(b"\0"):
            break
        entry = _entry(block)
        if entry.isdir():
            continue
        files += 1
        stored = -(-entry.size // _BLOCK) * _BLOCK
        if files > _MOST_FILES or not 0 <= entry.size <= stored <= left:
            raise _damaged(f"{entry.name!r:.80} does not fit into it")
        _write(archive, entry.size, _place(folder, entry.name))
        archive.seek(stored - entry.size, os.SEEK_CUR)
        left -= stored
    if not files:
        raise _damaged("it holds no files")
    _sync_folders(folder)


def _entry(block: bytes) -> tarfile.TarInfo:
    try:
        entry = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    except (tarfile.HeaderError, ValueError) as error:
        raise _damaged(f"it cannot be read ({reason_of(error)})") from error
    if entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE):
        raise _damaged(f"{entry.name!r:.80} is neither a plain file nor a folder")
    return entry


def _place(folder: Path, name: str) -> Path:
    parts = PurePosixPath(name).parts
    if not 0 < len(parts) <= _DEEPEST or not all(map(_NAME.match, parts)):
        raise _damaged(f"{name!r:.80} is not the plain name of a file in a package")
    place = folder.joinpath(*parts)
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise _damaged(f"{name!r:.80} is below a file") from error
    if place.exists():
        raise _damaged(f"{name!r:.80} is in it twice")
    return place


def _write(archive: FileIO, size: int, place: Path) -> None:
    with place.open("xb") as file:
        while size:
            size -= file.write(_read(archive, min(size, _PIECE)))
        file.flush()
        os.fsync(file.fileno())


def _read(archive: FileIO, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = archive.read(size - len(data))
        if not more:
            raise _damaged("it ends too early")
        data += more
    return data


def _sync_folders(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_dir():
            sync(path)
    sync(folder)


def _damaged(cause: str) -> Refusal:
    cure = "Uplink the package with groundsim uplink, or as tar --format=ustar"
    return Refusal(Code.UPLINK_DAMAGED, f"the uplinked archive is refused: {cause}", cure)
