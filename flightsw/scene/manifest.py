"""Checksums of a product's files, as its ``manifest.safe`` lists them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any, Final

from flightsw.errors import BadMetadata, CorruptImage
from flightsw.host.disk import open_plain
from flightsw.scene.xml_document import Document, parse_document, read_bytes

_CHUNK_BYTES: Final = 1 << 22
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
    """Checksums by path below ``root``; empty if there is no usable manifest."""

    root: Path
    checksums: Mapping[str, Checksum] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

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


def read_manifest(root: Path) -> Manifest:
    """Read ``root/manifest.safe``; a remark says what of it cannot be used."""
    path = root / "manifest.safe"
    if not os.path.lexists(path):
        return Manifest(root, remarks=("without a manifest.safe, bit errors cannot be detected",))
    try:
        document = parse_document(path, read_bytes(path))
    except BadMetadata as error:
        return Manifest(root, remarks=(f"manifest.safe is not used because it {error.cause}",))
    checksums = {}
    for stream in document.elements("byteStream"):
        location = stream.find("{*}fileLocation")
        checksum = stream.find("{*}checksum")
        if location is None or checksum is None:
            continue
        name = location.get("href", "").removeprefix("./")
        algorithm = checksum.get("checksumName", "").upper()
        if algorithm in _ALGORITHMS:
            size = stream.get("size", "")
            checksums[name] = Checksum(
                algorithm,
                (checksum.text or "").strip().lower(),
                int(size) if size.isascii() and size.isdigit() else None,
            )
    if not checksums:
        return Manifest(root, remarks=("manifest.safe lists no checksum of a known algorithm",))
    return Manifest(root, checksums)
