"""Copies a folder so that it outlives a power cut."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from flightsw.errors import PackageInvalid
from flightsw.host.disk import open_plain, sync


def copy_folder(source: Path, target: Path) -> None:
    """Copy plain files and folders; all of it is on the disk at the return.

    Raises :class:`PackageInvalid` for anything else, and :class:`OSError`.
    """
    target.mkdir(mode=0o700)
    for entry in _entries(source):
        if entry.is_dir(follow_symlinks=False):
            copy_folder(Path(entry.path), target / entry.name)
        elif entry.is_file(follow_symlinks=False):
            with open_plain(Path(entry.path)) as read, (target / entry.name).open("xb") as written:
                shutil.copyfileobj(read, written, 1 << 20)
                written.flush()
                os.fsync(written.fileno())
        else:
            raise PackageInvalid(
                entry.path, "is neither a file nor a folder", "Upload the package without links"
            )
    sync(target)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from entries
