"""The checksum of a scene, by which its record is found wherever the scene lies."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from flightsw.errors import SceneNotFound
from flightsw.host.disk import sha256
from flightsw.host.location import shown

_MANIFEST: Final = "manifest.safe"
_CURE: Final = "Make the scene readable, or remove it from the list"


def scene_checksum(location: Path | str) -> str:
    """SHA-256, in hexadecimal, of what the scene holds.

    A product with a ``manifest.safe``, which lists the checksum of each file: of the manifest, and
    of the names and sizes of all files.  Another folder: of the names and contents of its files.  A
    file: of its content.  An address: of the address, because nothing shows cheaply what it holds.
    Raises :class:`SceneNotFound`.
    """
    if isinstance(location, str):
        return _of_lines(["address", location])
    try:
        if not location.is_dir():
            return sha256(location)
        files = list(_files_below(location))
        if (location / _MANIFEST).is_file():
            manifest = sha256(location / _MANIFEST)
            sizes = (f"{name} {path.stat().st_size}" for name, path in files)
            return _of_lines(["manifest", manifest, *sizes])
        return _of_lines(["files", *(f"{name} {sha256(path)}" for name, path in files)])
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        cause = "does not exist" if isinstance(error, FileNotFoundError) else "cannot be read"
        raise SceneNotFound(shown(location), f"{cause} ({reason})", _CURE) from error


def address_checksum(location: Path | str) -> str:
    """What stands for the checksum of a scene that cannot be read."""
    return _of_lines(["unreadable", str(location)])


def _files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    for root, folders, files in os.walk(folder, onerror=_raise):
        folders.sort()
        for name in sorted(files):
            path = Path(root, name)
            yield path.relative_to(folder).as_posix(), path


def _raise(error: OSError) -> None:
    raise error


def _of_lines(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
