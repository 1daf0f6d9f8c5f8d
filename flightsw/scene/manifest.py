"""Checksums of a product's files, as its ``manifest.safe`` lists them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any, Final

from flightsw.errors import BadMetadata, CorruptImage
from flightsw.host.disk import open_plain
from flightsw.scene.xml_document import Document, parse_document, read_bytes
from telecommands.dictionary import Integrity

_CHUNK_BYTES: Final = 1 << 22
_METADATA: Final = re.compile(r"MTD_MSI\w+\.xml|GRANULE/[^/]+/MTD_TL\.xml")
_CURE: Final = "Fetch the file again"
_ALGORITHMS: Final[Mapping[str, Callable[[], Any]]] = {
    "SHA3-256": hashlib.sha3_256,  # products since 2021
    "SHA-256": hashlib.sha256,
    "MD5": lambda: hashlib.md5(usedforsecurity=False),  # older products
}


@dataclass(frozen=True)
class Checksum:
    """What one file must be: its size in bytes (None if not stated) and its digest in hex."""

    algorithm: str
    digest: str
    size: int | None

    def check_size(self, path: Path, size: int) -> None:
        """Raise :class:`CorruptImage` if the file has another size."""
        if self.size not in (None, size):
            raise CorruptImage(
                path,
                f"has {size} bytes, but manifest.safe says {self.size}",
                _CURE,
                found_bytes=size,
                needed_bytes=self.size,
            )

    def check_file(self, path: Path, stop: Event) -> None:
        """Read the file and raise :class:`CorruptImage` if its digest differs.

        Returns early, without a result, once ``stop`` is set.  Hashing releases
        the interpreter lock.
        """
        digest = _ALGORITHMS[self.algorithm]()
        buffer = memoryview(bytearray(_CHUNK_BYTES))
        try:
            with open_plain(path) as file:
                while count := file.readinto(buffer):
                    if stop.is_set():
                        return
                    digest.update(buffer[:count])
        except OSError as error:
            raise CorruptImage(path, f"cannot be read ({error.strerror})", _CURE) from error
        if digest.hexdigest() != self.digest:
            raise CorruptImage(
                path,
                f"is damaged: its {self.algorithm} differs from that in manifest.safe",
                _CURE,
                expected=self.digest,
                found=digest.hexdigest(),
            )


@dataclass(frozen=True)
class Manifest:
    """Checksums by path below ``root``; ``unusable`` says why there are none, or not the whole."""

    root: Path
    checksums: Mapping[str, Checksum] = field(default_factory=dict)
    integrity: Integrity = "verified"
    unusable: str = ""

    def of(self, path: Path) -> Checksum | None:
        """The checksum of a file of the product, None if it is not listed."""
        return self.checksums.get(path.relative_to(self.root).as_posix())

    def document(self, path: Path) -> Document:
        """Parse an XML file; raise :class:`BadMetadata` if its digest is not the listed one."""
        content = read_bytes(path)
        listed = self.of(path)
        if listed is not None:
            digest = _ALGORITHMS[listed.algorithm]()
            digest.update(content)
            if digest.hexdigest() != listed.digest:
                cause = f"is damaged: its {listed.algorithm} differs from that in manifest.safe"
                raise BadMetadata(path, cause, _CURE)
        return parse_document(path, content)

    def judge(self, read: Iterable[Path]) -> tuple[Integrity, str]:
        """How far the files that are ``read`` are known to be intact, and why not further.

        Their digests are compared elsewhere: a product with another digest is refused.
        """
        if self.unusable:
            return self.integrity, self.unusable
        if unlisted := [path.name for path in read if self.of(path) is None]:
            return "doubtful", f"manifest.safe does not list {', '.join(unlisted)}"
        absent = self._absent()
        if lost := [name for name in absent if _METADATA.fullmatch(name)]:
            return "doubtful", f"manifest.safe lists {', '.join(lost)}, which does not exist"
        return "verified", ""

    def remarks(self) -> tuple[str, ...]:
        """A remark if files are absent, as from a product reduced to the bands of one distance."""
        absent = self._absent()
        if not absent:
            return ()
        number = f"{len(absent)} of the {len(self.checksums)} files"
        return (f"{number} in manifest.safe do not exist, the first is {absent[0]}",)

    def _absent(self) -> list[str]:
        return [name for name in self.checksums if not os.path.lexists(self.root / name)]


def read_manifest(root: Path) -> Manifest:
    """Read ``root/manifest.safe``; what is wrong with it is said by :meth:`Manifest.judge`."""
    path = root / "manifest.safe"
    if not os.path.lexists(path):
        cause = "without a manifest.safe, bit errors cannot be detected"
        return Manifest(root, integrity="unknown", unusable=cause)
    try:
        document = parse_document(path, read_bytes(path))
    except BadMetadata as error:
        cause = f"manifest.safe is not used because it {error.cause}"
        return Manifest(root, integrity="doubtful", unusable=cause)
    checksums: dict[str, Checksum] = {}
    for stream in document.elements("byteStream"):
        location = stream.find("{*}fileLocation")
        checksum = stream.find("{*}checksum")
        if location is None or checksum is None:
            continue
        name = location.get("href", "").removeprefix("./")
        algorithm = checksum.get("checksumName", "").upper()
        if algorithm in _ALGORITHMS:
            size = stream.get("size", "")
            digest = (checksum.text or "").strip().lower()
            stated = int(size) if size.isascii() and size.isdigit() else None
            listed = Checksum(algorithm, digest, stated)
            if checksums.setdefault(name, listed) != listed:
                cause = f"manifest.safe lists {name} twice, with different checksums"
                return Manifest(root, integrity="doubtful", unusable=cause)
    if not checksums:
        cause = "manifest.safe lists no checksum of a known algorithm"
        return Manifest(root, integrity="doubtful", unusable=cause)
    return Manifest(root, checksums)
