"""Where a scene is: a path of this machine, or an address on the network."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Final, TypeAlias
from urllib.parse import unquote, urljoin, urlsplit

Location: TypeAlias = Path | str
"""A path, or text that names something on the network (``https://…``, ``s3://…``)."""

_CURL: Final = "/vsicurl/"
_NETWORK_FOLDERS: Final = ("/vsis3/", "/vsigs/", "/vsiaz/")  # of GDAL
_NETWORK_SCHEMES: Final = ("http", "https", "s3", "gs", "az")
_FILE: Final = re.compile(r"file:(//(localhost)?)?(?=/)")
_SECRET: Final = re.compile(r"(\w://)(?:[^/@\s]*@)?([^\s?'\"]*)(?:\?[^\s'\"]*)?")


def location_of(text: str | os.PathLike[str]) -> Location:
    """The path that ``text`` or its ``file:`` address names, or the address as it is.

    GDAL's ``/vsicurl/`` before an address is dropped.
    """
    if not isinstance(text, str):
        return Path(text)
    text = text.removeprefix(_CURL) if "://" in text else text
    if is_on_network(text):
        return text
    if match := _FILE.match(text):
        return Path(unquote(text[match.end() :]))
    return Path(text)


def is_on_network(text: str) -> bool:
    """Whether the text names something on the network, as a URL or in GDAL's way."""
    scheme, mark, _ = text.partition("://")
    return text.startswith(_NETWORK_FOLDERS) or (bool(mark) and scheme.lower() in _NETWORK_SCHEMES)


def resolved(reference: str, base: Location) -> Location:
    """What a reference in the document at ``base`` names.

    Raises :class:`ValueError` with the reason for a kind of address that is not read, and for a
    path of this machine in a document of another.
    """
    bare = reference.removeprefix(_CURL) if "://" in reference else reference
    if is_on_network(bare):
        return bare
    scheme = urlsplit(bare).scheme
    if scheme not in ("", "file") or bare.startswith("/vsi"):
        raise ValueError("is not a path or an address of http, https, s3, gs or az")
    if isinstance(base, str):
        if scheme:
            raise ValueError("is a path of this machine, in an item from the network")
        return urljoin(base, bare)
    if scheme:
        return location_of(bare)
    path = base.parent / bare
    return path if path.exists() else base.parent / unquote(bare)


def last_part_of(location: Location) -> str:
    """The name of the file or folder."""
    return _file_of(location).name


def as_https(address: str) -> str:
    """The https address of an open file on ``s3`` or ``gs``; any other address as it is."""
    match = re.match(r"(?:(s3|gs)://|/vsi(s3|gs)/)([^/]+)/(.+)", address)
    if not match:
        return address
    kind, bucket, key = match[1] or match[2], match[3], match[4]
    if kind == "s3":
        return f"https://{bucket}.s3.amazonaws.com/{key}"
    return f"https://storage.googleapis.com/{bucket}/{key}"


def name_of(location: Location) -> str:
    """The last part, without its suffix."""
    return _file_of(location).stem


def suffix_of(location: Location) -> str:
    """The suffix in small letters, such as ``.tif``."""
    return _file_of(location).suffix.lower()


def shown(text: object) -> str:
    """The text without what may be secret in its addresses: user, password and query."""
    return _SECRET.sub(r"\1\2", str(text))


def _file_of(location: Location) -> PurePosixPath:
    if isinstance(location, Path):
        return PurePosixPath(location)
    return PurePosixPath(re.split(r"[?#]", location)[0])
