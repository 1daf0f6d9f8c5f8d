"""Checksums of a product's files, as its ``manifest.safe`` lists them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any, Final

from flightsw.errors import BadMetadata, CorruptImage
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
    """What one file must be: its size in bytes (None: not told) and its digest in hex."""

    algorithm: str
    digest: str
    size: int | None

    def check_size(self, path: Path, size: int) -> None:
        """Raise :class:`CorruptImage` when the file has not the size that it must have."""
        if self.size not in (None, size):
            raise CorruptImage(
                path,
                f"has {size} bytes, manifest.safe says {self.size}",
                _CURE,
                found_bytes=size,
                needed_bytes=self.size,
            )

    def check_file(self, path: Path, stop: Event) -> None:
        """Read the file and raise :class:`CorruptImage` when its digest is another.

        Returns early, without a verdict, once ``stop`` is set.  Hashing releases
        the interpreter lock.
        """
        digest = _ALGORITHMS[self.algorithm]()
        buffer = memoryview(bytearray(_CHUNK_BYTES))
        try:
            with path.open("rb", buffering=0) as file:
                while count := file.readinto(buffer):
                    if stop.is_set():
                        return
                    digest.update(buffer[:count])
        except OSError as error:
            raise CorruptImage(path, f"cannot be read ({error.strerror})", _CURE) from error
        if digest.hexdigest() != self.digest:
            raise CorruptImage(
                path,
                f"is damaged: its {self.algorithm} is not the one in manifest.safe",
                _CURE,
                expected=self.digest,
                found=digest.hexdigest(),
            )


@dataclass(frozen=True)
class Manifest:
    """Checksums by path below ``root``; empty where there is no usable manifest."""

    root: Path
    checksums: Mapping[str, Checksum] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def of(self, path: Path) -> Checksum | None:
        """The checksum of a file of the product, None where it is not listed."""
        return self.checksums.get(path.relative_to(self.root).as_posix())

    def document(self, path: Path) -> Document:
        """Parse an XML file; raise :class:`BadMetadata` when it is not what the manifest lists."""
        content = read_bytes(path)
        listed = self.of(path)
        if listed is not None:
            digest = _ALGORITHMS[listed.algorithm]()
            digest.update(content)
            if digest.hexdigest() != listed.digest:
                cause = f"is damaged: its {listed.algorithm} is not the one in manifest.safe"
                raise BadMetadata(path, cause, _CURE)
        return parse_document(path, content)


def read_manifest(root: Path) -> Manifest:
    """Read ``root/manifest.safe``; what cannot be used of it becomes a remark."""
    path = root / "manifest.safe"
    if not path.is_file():
        return Manifest(root, remarks=("no manifest.safe: bit errors cannot be noticed",))
    try:
        document = parse_document(path, read_bytes(path))
    except BadMetadata as error:
        return Manifest(root, remarks=(f"manifest.safe is not used, it {error.cause}",))
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
        return Manifest(root, remarks=("manifest.safe lists no checksum that is understood",))
    return Manifest(root, checksums)
