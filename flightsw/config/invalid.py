"""What is wrong in a settings file: the key, its table, and what is valid there."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import inspect

_PLACE: Final = re.compile(r" - at `\$\.(?P<keys>[\w.]+)")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<key>.*?)`")
_PLAIN: Final = {
    inspect.BoolType: "true or false",
    inspect.IntType: "an integer",
    inspect.FloatType: "a number",
    inspect.StrType: "text",
    inspect.CustomType: "a path",
    inspect.StructType: "a table",
}


def explain(
    error: msgspec.ValidationError, document: Mapping[str, Any], kind: type[msgspec.Struct]
) -> tuple[str, str]:
    """Cause and cure of an error in a document that should be of this type."""
    place = _PLACE.search(str(error))
    keys = place["keys"].split(".") if place else []
    unknown = _UNKNOWN.match(str(error))
    if unknown:
        return _unknown(unknown["key"], keys, kind)
    value: Any = document
    for name in keys:
        value = value[name]
    if isinstance(value, Mapping):  # each key is valid, but not beside the others
        rule = str(error).partition(" - at ")[0]
        return f"is wrong{_within(keys)}: {rule}", "Correct the values (docs/settings.md)"
    *tables, key = keys
    cause = f"has {key} = {json.dumps(value, default=str)}{_within(tables)}"
    expected = _expected(_fields(tables, kind)[key])
    return f"{cause}, which is not {expected}", "Correct the value (docs/settings.md)"


def _unknown(key: str, tables: list[str], kind: type[msgspec.Struct]) -> tuple[str, str]:
    known = _fields(tables, kind)
    cause = f"has the unknown key {key}{_within(tables) or ' at its top level'}"
    homes = [f"[{table}]" for table, fields in _tables("", kind) if key in fields]
    if homes:
        return cause, f"Move it to {' or '.join(homes)}"
    nearest = difflib.get_close_matches(key, known, n=1)
    hint = f"Write {nearest[0]}, or another of its keys" if nearest else "Use one of its keys"
    return cause, f"{hint}: {', '.join(known)}"


def _within(tables: list[str]) -> str:
    return f" in [{'.'.join(tables)}]" if tables else ""


def _fields(tables: list[str], kind: type[msgspec.Struct]) -> dict[str, inspect.Type]:
    """The keys of a table and their types."""
    return dict(_tables("", kind))[".".join(tables)]


def _tables(name: str, kind: type[msgspec.Struct]) -> Iterator[tuple[str, dict[str, inspect.Type]]]:
    record = inspect.type_info(kind)
    assert isinstance(record, inspect.StructType)
    yield name, {field.encode_name: field.type for field in record.fields}
    for field in record.fields:
        for part in _parts(field.type):
            if isinstance(part, inspect.StructType):
                yield from _tables(f"{name}.{field.encode_name}".lstrip("."), part.cls)


def _parts(kind: inspect.Type) -> list[inspect.Type]:
    """The types that a value may have; TOML has no null."""
    if isinstance(kind, inspect.Metadata):
        return _parts(kind.type)
    if isinstance(kind, inspect.UnionType):
        return [part for one in kind.types for part in _parts(one)]
    return [] if isinstance(kind, inspect.NoneType) else [kind]


def _expected(kind: inspect.Type) -> str:
    return " or ".join(map(_described, _parts(kind)))


def _described(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.LiteralType):
        return f"one of {', '.join(json.dumps(one) for one in kind.values)}"
    if isinstance(kind, inspect.VarTupleType):
        least = "a list of at least" if kind.min_length else "a list of"
        items = _expected(kind.item_type)
        return f"{least} {items}" if items.startswith("one of") else f"a list of {items}"
    return " ".join([_PLAIN[type(kind)], *_bounds(kind)])


def _bounds(kind: inspect.Type) -> Iterator[str]:
    for name, words in (("gt", "above"), ("ge", "from"), ("le", "to"), ("lt", "below")):
        bound = getattr(kind, name, None)
        if bound is not None:
            yield f"{words} {bound}"
    if factor := getattr(kind, "multiple_of", None):
        yield f"that is a multiple of {factor}"
