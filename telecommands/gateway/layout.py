"""Records as bytes, big-endian, and back.

Integers and floats have 64 bits, choices and truth values one byte, text, bytes and JSON a length
of 16 bits before them.  None is NaN (read: any float that is not finite), 255 in one byte, and in
an integer -1, or the smallest one if -1 may be a value.  An empty text of JSON is null, or an empty
map.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

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
        self._runs = _runs(self.leaves)

    def encode(self, record: msgspec.Struct) -> bytes:
        """The record's bytes; :class:`LayoutError` if a value does not fit."""
        parts: list[bytes] = []
        for packed, taken in self._runs:
            if packed is None:
                content = taken[0](record)
                if len(content) > _MOST:
                    raise LayoutError(f"{self.kind.__name__} has {len(content)} bytes in one field")
                parts += (_LENGTH.pack(len(content)), content)
                continue
            try:
                parts.append(packed.pack(*[take(record) for take in taken]))
            except struct.error as error:
                raise LayoutError(f"{self.kind.__name__} has a value out of range") from error
        return b"".join(parts)

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


_Taker = Callable[[Any], Any]


def _runs(leaves: tuple[Leaf, ...]) -> list[tuple[struct.Struct | None, list[_Taker]]]:
    """Leaves of fixed length in a row are packed together: most packets are mostly these."""
    runs: list[tuple[str, list[_Taker]]] = []
    for leaf in leaves:
        code = _FORMATS.get(leaf.kind, "")
        if code and runs and runs[-1][0]:
            runs[-1] = (runs[-1][0] + code, [*runs[-1][1], _taker(leaf)])
        else:
            runs.append((code, [_taker(leaf)]))
    return [(struct.Struct(f">{codes}") if codes else None, taken) for codes, taken in runs]


def _taker(leaf: Leaf) -> _Taker:
    """What reads the leaf from a record, in the form that is packed."""
    value = _getter(leaf)
    if leaf.kind == "json":
        return lambda record: _json(value(record))
    if leaf.kind == "text":
        return lambda record: value(record).encode("utf-8", "replace")
    if leaf.kind == "choice":
        numbers: dict[Any, int] = {None: NONE_CHOICE, **leaf.numbers}
        return lambda record: numbers[value(record)]
    none = 0 if leaf.kind == "integer" and not leaf.optional else none_of(leaf)
    if leaf.optional or none is not None:
        return lambda record: none if (found := value(record)) is None else found
    return value


def _getter(leaf: Leaf) -> _Taker:
    if leaf.known:
        whole = attrgetter(".".join(leaf.path[:-1]))
        return lambda record: _undeclared(whole(record), leaf.known)
    fields = attrgetter(".".join(leaf.path[: len(leaf.path) - leaf.keys]))
    if not leaf.keys:
        return fields
    *outer, last = leaf.path[-leaf.keys :]

    def take(record: Any) -> Any:
        content = fields(record)
        for key in outer:
            content = content.get(key, _EMPTY)
        return content.get(last)

    return take


def _undeclared(content: Mapping[str, Any], known: tuple[tuple[str, ...], ...]) -> Any:
    """The keys of a map that the dictionary does not declare."""
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
