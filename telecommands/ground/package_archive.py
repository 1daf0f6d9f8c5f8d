"""A model package as one file for the uplink: tar (ustar), the same bytes each time."""

from __future__ import annotations

import hashlib
import re
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from telecommands.ground.errors import UsageError, product_error

CHECKSUMS: Final = "SHA256SUMS"

_PIECE: Final = 1 << 20
_MOST_CHECKSUMS: Final = 1 << 20
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}\Z")
_SUFFIX: Final = ".tar"


class PackageArchive:
    """An open archive of a package, its name on board, length and SHA-256.

    ``checksums`` is the SHA-256 of the package's own list, which STAGE_MODEL needs.
    """

    def __init__(self, file: IO[bytes], name: str, checksums: str) -> None:
        if not _NAME.match(name):
            cure = "Give --name with at most 64 of A-Z a-z 0-9 _ . + -"
            raise UsageError(name, "cannot be the name of a package on board", cure)
        self.name, self.checksums = name, checksums
        self._file = file
        digest = hashlib.sha256()
        file.seek(0)
        while piece := file.read(_PIECE):
            digest.update(piece)
        self.sha256 = digest.hexdigest()
        self.size = file.tell()

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the archive."""
        self._file.seek(offset)
        return self._file.read(size)


@contextmanager
def open_package(package: Path, name: str = "") -> Iterator[PackageArchive]:
    """Archive a package's folder in a temporary file, or open one that is archived already.

    Its ``name`` on board is that of the folder or file unless given.  Raises
    :class:`UsageError` for what is not a package, and
    :class:`~telecommands.ground.errors.ProductError` if the temporary file cannot be written.
    """
    try:
        if package.is_dir():
            with tempfile.TemporaryFile(prefix="uplink-") as file:
                _write(package, file)
                yield PackageArchive(file, name or package.resolve().name, _listed(file, package))
        else:
            with package.open("rb") as file:
                named = name or package.name.removesuffix(_SUFFIX)
                yield PackageArchive(file, named, _listed(file, package))
    except FileNotFoundError as error:
        cure = "Give the folder of a model package, or its archive"
        raise UsageError(error.filename, "does not exist", cure) from error
    except OSError as error:
        raise product_error(error.filename or package, error) from error


def _write(package: Path, file: IO[bytes]) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(package.rglob("*")):
            if path.is_dir() and not path.is_symlink():
                continue
            if path.is_symlink() or not path.is_file():
                cure = "Give a package without links"
                raise UsageError(path, "is not a plain file", cure)
            entry = tarfile.TarInfo(path.relative_to(package).as_posix())
            entry.size = path.stat().st_size
            with path.open("rb") as content:
                archive.addfile(entry, content)


def _listed(file: IO[bytes], package: Path) -> str:
    """SHA-256 of the list of checksums in the archive."""
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for entry in archive:
                if entry.name.removeprefix("./") == CHECKSUMS and entry.isreg():
                    content = archive.extractfile(entry)
                    assert content is not None
                    return hashlib.sha256(content.read(_MOST_CHECKSUMS)).hexdigest()
    except tarfile.TarError as error:
        cure = "Give the folder of a model package, or its archive (tar --format=ustar)"
        raise UsageError(package, f"is not an archive ({error})", cure) from error
    cause = f"is not a model package: it has no {CHECKSUMS}"
    raise UsageError(package, cure="Give the folder with that file", cause=cause)
