"""A SAFE product as it is downloaded, in a ZIP archive: what a scene needs of it is unpacked."""

from __future__ import annotations

import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp
from typing import Final
from weakref import finalize

from flightsw import sentinel_2
from flightsw.errors import CorruptImage, SceneError, SceneNotFound
from telecommands.units import size

_LARGEST_BYTES: Final = 1 << 30  # of one file; a real 10 m band has up to 110 million bytes
_MOST_ENTRIES: Final = 100_000  # a real product of one tile has about 150
_CHUNK_BYTES: Final = 1 << 20
_CURE: Final = "Fetch the archive again"
_METADATA: Final = re.compile(r"[^/]+\.(?:xml|safe)|GRANULE/[^/]+/[^/]+\.xml")
_IMAGE: Final = re.compile(
    r"GRANULE/([^/]+)/IMG_DATA/(?:R(\d\d)m/)?[^/]*_(B\d[\dA])(?:_\d\dm)?\.jp2"
)


@dataclass(frozen=True)
class TemporaryFolder:
    """A product's folder, which exists as long as this object and what it is ``within``."""

    root: Path
    within: TemporaryFolder | None = None


def is_zipped(path: Path) -> bool:
    """Whether the file is meant to be a ZIP archive."""
    return path.suffix.lower() == ".zip"


def unpack(path: Path, bands: Sequence[str], tile: str) -> TemporaryFolder:
    """Unpack a product into a temporary folder; raises what :func:`unpack_into` raises."""
    folder = temporary_folder()
    root = unpack_into(folder.root, path, bands, tile)
    return TemporaryFolder(root, folder)


def temporary_folder() -> TemporaryFolder:
    """An empty folder for :func:`unpack_into`."""
    folder = TemporaryFolder(Path(mkdtemp(prefix="flightsw-")))
    finalize(folder, shutil.rmtree, folder.root, ignore_errors=True)
    return folder


def unpack_into(folder: Path, path: Path, bands: Sequence[str], tile: str) -> Path:
    """Unpack metadata and the images of these bands; the product's folder in ``folder``.

    Names are matched and sizes are bounded before a byte is written; the archive's own checksums
    are verified.  Raises :class:`SceneNotFound`, :class:`CorruptImage` or :class:`SceneError`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            root = _root(path, archive)
            wanted = {one.filename: one for one in _wanted(archive, root, bands, tile)}
            return _unpacked(folder, path, archive, root, [*wanted.values()])
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise CorruptImage(path, f"is not a readable ZIP archive ({error})", _CURE) from error


def _root(path: Path, archive: zipfile.ZipFile) -> str:
    """The folder with ``GRANULE`` in it, with its slash."""
    names = archive.namelist()
    if len(names) > _MOST_ENTRIES:
        raise SceneNotFound(path, f"holds {len(names)} files, more than a product has", _CURE)
    form = re.compile(r"((?:(?!\.\.?/)[^/]+/)?)GRANULE/")
    roots = {match[1] for name in names if (match := form.match(name))}
    if len(roots) != 1:
        found = ", ".join(sorted(roots)) or "none"
        cause = f"must hold one SAFE product, a folder with GRANULE in it, but holds {found}"
        raise SceneNotFound(path, cause, "Give the archive as it was fetched")
    return roots.pop()


def _wanted(
    archive: zipfile.ZipFile, root: str, bands: Sequence[str], tile: str
) -> Iterator[zipfile.ZipInfo]:
    """Metadata and images.

    Of each band the image of its own distance, or the next coarser one; further copies only if
    bands at 10 m are missing.
    """
    images: dict[str, dict[int, list[zipfile.ZipInfo]]] = {}
    for entry in archive.infolist():
        name = entry.filename.removeprefix(root)
        if not entry.filename.startswith(root) or entry.is_dir() or ".." in name.split("/"):
            continue
        if _METADATA.fullmatch(name):
            yield entry
        elif image := _IMAGE.fullmatch(name):
            granule, distance, band = image.groups()
            if (band in bands or band == "B8A") and _is_of(tile, granule):
                own = int(distance or sentinel_2.NATIVE_DISTANCES[band])
                images.setdefault(band, {}).setdefault(own, []).append(entry)
    fine = [band for band in bands if sentinel_2.NATIVE_DISTANCES[band] == 10]
    complete = all(10 in images.get(band, ()) for band in fine)
    for band, copies in images.items():
        if not (fine and complete):
            yield from (entry for entries in copies.values() for entry in entries)
        elif band in bands:
            fit = [each for each in copies if each >= sentinel_2.NATIVE_DISTANCES[band]]
            yield from copies[min(fit or copies)]


def _is_of(tile: str, granule: str) -> bool:
    return not tile or sentinel_2.tile_id(granule) == tile


def _unpacked(
    folder: Path,
    path: Path,
    archive: zipfile.ZipFile,
    root: str,
    wanted: Sequence[zipfile.ZipInfo],
) -> Path:
    unpacked = folder / (PurePosixPath(root).name or path.stem)
    needed = sum(entry.file_size for entry in wanted)
    if needed > (free := shutil.disk_usage(folder).free):
        cause = f"needs {size(needed)} in {folder.parent}, which has {size(free)}"
        raise SceneError(path, cause, "Free space there, or unpack the archive elsewhere")
    for entry in wanted:
        if entry.file_size > _LARGEST_BYTES:
            cause = f"holds {entry.filename} of {size(entry.file_size)}"
            raise CorruptImage(path, cause, "Give the archive as it was fetched")
        target = unpacked / entry.filename.removeprefix(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as source, target.open("xb") as file:
            shutil.copyfileobj(source, file, _CHUNK_BYTES)
    return unpacked
