"""XML files of a product, read without access to any other file or to the network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lxml import etree

from flightsw.errors import BadMetadata
from flightsw.host.disk import read_plain

_CURE: Final = "Fetch the file again"
_LARGEST_BYTES: Final = 4 << 20  # real ones have up to 0.6 megabytes
_MOST_SIGNS: Final = 200_000  # of "<" and of "=": real ones have up to 10,401 and 670


@dataclass(frozen=True)
class Document:
    """A parsed file.  Elements are found by name, whatever their namespace."""

    path: Path
    root: Any

    def elements(self, name: str) -> list[Any]:
        """Every element of that name, in the order of the file."""
        return list(self.root.iter(f"{{*}}{name}"))

    def text(self, name: str) -> str | None:
        """The text of the element of that name, None if there is no such element.

        Raises :class:`BadMetadata` if several elements of that name differ.
        """
        texts = sorted({text_of(element) for element in self.elements(name)})
        if len(texts) > 1:
            cause = f"gives different values for {name}: {', '.join(texts[:3])}"
            raise BadMetadata(self.path, cause, _CURE, element=name)
        return texts[0] if texts else None


def text_of(element: Any) -> str:
    """The element's text without surrounding blanks and without comments."""
    return str(element.xpath("string()")).strip()


def read_bytes(path: Path) -> bytes:
    """The content of a metadata file; raise :class:`BadMetadata` if it cannot be read."""
    try:
        return read_plain(path, _LARGEST_BYTES)
    except OSError as error:
        raise BadMetadata(path, f"cannot be read ({error.strerror})", _CURE) from error


def parse_document(path: Path, content: bytes) -> Document:
    """Parse XML without entities, document types or network; raise :class:`BadMetadata`.

    An element takes about 200 bytes of memory, an attribute 100: both are bounded before parsing.
    """
    if max(content.count(b"<"), content.count(b"=")) > _MOST_SIGNS:
        raise BadMetadata(path, f"has more than {_MOST_SIGNS} elements or attributes", _CURE)
    if b"<!DOCTYPE" in content:
        raise BadMetadata(path, "has a document type, which no product has", _CURE)
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise BadMetadata(path, f"is not well-formed XML ({error})", _CURE) from error
    if root.getroottree().docinfo.doctype:
        raise BadMetadata(path, "has a document type, which no product has", _CURE)
    return Document(path, root)
