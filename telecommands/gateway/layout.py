"""Records as bytes, big-endian, and back.

Integers and floats have 64 bits, choices and truth values one byte, text, bytes and JSON a length
of 16 bits before them.  None is NaN (read: any float that is not finite), 255 in one byte, and in
an integer -1, or the smallest one if -1 may be a value.  An empty text of JSON is null, or an empty
map.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import groupby, repeat
from operator import attrgetter
from typing import Any, Final, TypeAlias

import msgspec

from telecommands.gateway.leaves import NONE_CHOICE, Leaf, leaves_of

MOST_JSON: Final = 16 * 1024
"""Longer JSON is left out, and its length given (``bytes_left_out``)."""

_LENGTH: Final = struct.Struct(">H")
_MOST: Final = 0xFFFF
_NAN: Final = math.nan
_FORMATS: Final[Mapping[str, str]] = {"integer": "q", "number": "d", "choice": "B", "truth": "B"}
_EMPTY: Final[Mapping[str, Any]] = {}
_JSON: Final = msgspec.json.Encoder()


class LayoutError(ValueError):
    """A record that does not fit, or bytes that are not one; the message names the leaf."""


class Layout:
    """Encodes and decodes one type of record.  Without state."""

    def __init__(self, kind: type[msgspec.Struct]) -> None:
        self.kind = kind
        self.leaves = leaves_of(kind)
        self._encoders = _encoders(self.leaves)

    def encode(self, record: msgspec.Struct) -> bytes:
        """The record's bytes; :class:`LayoutError` if a value does not fit."""
        try:
            return b"".join([encode(record) for encode in self._encoders])
        except struct.error as error:
            raise LayoutError(f"{self.kind.__name__} has a value out of range") from error
        except _TooLongError as error:
            raise LayoutError(f"{self.kind.__name__} has {error} bytes in one field") from error

    def decode(self, content: bytes, at: int = 0) -> tuple[dict[str, Any], int]:
        """Values as nested maps, and where they end; :class:`LayoutError` names what is wrong."""
        found: dict[str, Any] = {}
        for leaf in self.leaves:
            try:
                value, at = _read(leaf, content, at)
            except (struct.error, IndexError) as error:
                raise LayoutError(f"{leaf.name} is cut short") from error
            _put(found, leaf, value)
        return found, at


@lru_cache(maxsize=128)
def layout_of(kind: type[msgspec.Struct]) -> Layout:
    """The layout of a type."""
    return Layout(kind)


def none_of(leaf: Leaf) -> Any:
    """What stands for None in the packet; None if the leaf is never None."""
    if leaf.kind in ("choice", "truth") and leaf.optional:
        return NONE_CHOICE
    return _NAN if leaf.kind == "number" and leaf.optional else leaf.none


_Encoder: TypeAlias = Callable[[Any], bytes]
_Reader: TypeAlias = Callable[[Any], Iterable[Any]]
_Converter: TypeAlias = Callable[[Any], Any]


class _TooLongError(ValueError):
    """A text that does not fit its length field; the message is its length."""


def _encoders(leaves: tuple[Leaf, ...]) -> list[_Encoder]:
    """From a record to its bytes, part by part: leaves of fixed length in a row are one part.

    A call for each leaf would take most of the gateway's time.
    """
    encoders: list[_Encoder] = []
    for fixed, row in groupby(leaves, lambda leaf: leaf.kind in _FORMATS):
        if fixed:
            encoders.append(_fixed_encoder(list(row)))
        else:
            encoders += [_variable_encoder(leaf) for leaf in row]
    return encoders


def _fixed_encoder(row: list[Leaf]) -> _Encoder:
    pack = struct.Struct(">" + "".join(_FORMATS[leaf.kind] for leaf in row)).pack
    readers = [
        _map_reader(list(block)) if in_map else _field_reader(list(block))
        for in_map, block in groupby(row, _map_of)
    ]
    if len(readers) == 1:
        (only,) = readers
        return lambda record: pack(*only(record))
    return lambda record: pack(*[value for read in readers for value in read(record)])


def _variable_encoder(leaf: Leaf) -> _Encoder:
    get = attrgetter(".".join(leaf.path[:-1] if leaf.known else leaf.path))
    convert, pack_length = _content_converter(leaf), _LENGTH.pack

    def encode(record: Any) -> bytes:
        content: bytes = convert(get(record))
        size = len(content)
        if size > _MOST:
            raise _TooLongError(size)
        return pack_length(size) + content

    return encode


def _content_converter(leaf: Leaf) -> _Converter:
    if leaf.kind == "text":
        return lambda text: text.encode("utf-8", "replace")
    if leaf.kind == "bytes":
        return bytes
    known = tuple(frozenset(names) for names in leaf.known)
    return (lambda content: _json(_undeclared(content, known))) if known else _json


def _map_of(leaf: Leaf) -> tuple[str, ...]:
    """The path to the innermost map that holds the leaf; empty if none does."""
    return leaf.path[:-1] if leaf.keys else ()


def _map_reader(block: list[Leaf]) -> _Reader:
    """Declared keys of one map; an absent one is None, or a count of 0."""
    first = block[0]
    whole = attrgetter(".".join(first.path[: -first.keys]))
    outer, keys = first.path[len(first.path) - first.keys : -1], [leaf.path[-1] for leaf in block]
    none = none_of(first) if first.optional else 0

    def read(record: Any) -> Iterable[Any]:
        content = whole(record)
        for key in outer:
            content = content.get(key, _EMPTY)
        return map(content.get, keys, repeat(none))

    return read


def _field_reader(block: list[Leaf]) -> _Reader:
    get = attrgetter(*(".".join(leaf.path) for leaf in block))
    several = len(block) > 1
    converters = [
        (at, _converter(leaf))
        for at, leaf in enumerate(block)
        if leaf.optional or leaf.kind == "choice"
    ]
    if several and not converters:
        return get

    def read(record: Any) -> Iterable[Any]:
        values = list(get(record)) if several else [get(record)]
        for at, convert in converters:
            values[at] = convert(values[at])
        return values

    return read


def _converter(leaf: Leaf) -> _Converter:
    """From what a field holds to what is packed."""
    if leaf.kind == "choice":
        numbers: dict[Any, int] = {None: NONE_CHOICE, **leaf.numbers}
        return numbers.__getitem__
    none = none_of(leaf)
    return lambda value: none if value is None else value


def _undeclared(content: Mapping[str, Any], known: tuple[frozenset[str], ...]) -> Any:
    """The keys of a map that the dictionary does not declare; None if there are none."""
    names, deeper = known[0], known[1:]
    if not deeper:
        return {key: value for key, value in content.items() if key not in names} or None
    rest = {
        key: _undeclared(value, deeper) if key in names else value for key, value in content.items()
    }
    return {key: value for key, value in rest.items() if value} or None


def _json(value: Any) -> bytes:
    if value is None:
        return b""
    try:
        content = _JSON.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise LayoutError(f"a value cannot be written as JSON: {error}") from error
    if len(content) > MOST_JSON:
        return _JSON.encode({"bytes_left_out": len(content)})
    return content


def _read(leaf: Leaf, content: bytes, at: int) -> tuple[Any, int]:
    if code := _FORMATS.get(leaf.kind):
        (number,) = struct.unpack_from(f">{code}", content, at)
        return _value(leaf, number), at + struct.calcsize(f">{code}")
    (length,) = _LENGTH.unpack_from(content, at)
    at += _LENGTH.size
    raw = content[at : at + length]
    if len(raw) < length:
        raise LayoutError(f"{leaf.name} is cut short")
    return _variable(leaf, raw), at + length


def _variable(leaf: Leaf, raw: bytes) -> Any:
    if leaf.kind == "bytes":
        return raw
    try:
        if leaf.kind == "text":
            return raw.decode()
        return msgspec.json.decode(raw) if raw else None
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        what = "text in UTF-8" if leaf.kind == "text" else "JSON"
        raise LayoutError(f"{leaf.name} is not {what}") from error


def _value(leaf: Leaf, number: Any) -> Any:
    if leaf.kind == "number":
        if math.isfinite(number):
            return number
        if leaf.optional:
            return None
        raise LayoutError(f"{leaf.name} is {number}, not a finite number")
    if leaf.kind == "integer":
        return None if leaf.optional and number == leaf.none else number
    if leaf.optional and number == NONE_CHOICE:
        return None
    if leaf.kind == "truth":
        if number > 1:
            raise LayoutError(f"{leaf.name} is {number}, neither 0 nor 1")
        return bool(number)
    for member, its_number in leaf.numbers.items():
        if number == its_number:
            return member
    raise LayoutError(f"{leaf.name} has no member with the number {number}")


def _put(found: dict[str, Any], leaf: Leaf, value: Any) -> None:
    *before, last = leaf.path
    if leaf.keys and value is None:
        return  # absent from its map
    for step in before:
        found = found.setdefault(step, {})
    if leaf.known:
        _merge(found, value or {})
    else:
        found[last] = value


def _merge(found: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(found.get(key), dict):
            _merge(found[key], value)
        else:
            found[key] = value
