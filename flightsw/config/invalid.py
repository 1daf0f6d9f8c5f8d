"""What is wrong in a settings file: the key, its table, and what is valid there."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import inspect

from telecommands.value_types import parts, valid_values

_PLACE: Final = re.compile(r" - at `\$\.(?P<keys>[\w.]+)")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<key>.*?)`")


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
    expected = valid_values(_fields(tables, kind)[key])
    return f"{cause}, which is not {expected}", "Correct the value (docs/settings.md)"


def _unknown(key: str, tables: list[str], kind: type[msgspec.Struct]) -> tuple[str, str]:
    known = _fields(tables, kind)
    cause = f"has the unknown key {key}{_within(tables) or ' at its top level'}"
    homes = [f"[{table}]" for table, fields in _tables_of(kind).items() if key in fields]
    if homes:
        return cause, f"Move it to {' or '.join(homes)}"
    nearest = difflib.get_close_matches(key, known, n=1)
    hint = f"Write {nearest[0]}, or another of its keys" if nearest else "Use one of its keys"
    return cause, f"{hint}: {', '.join(known)}"


def _within(tables: list[str]) -> str:
    return f" in [{'.'.join(tables)}]" if tables else ""


def _fields(tables: list[str], kind: type[msgspec.Struct]) -> Mapping[str, inspect.Type]:
    """The keys of a table and their types."""
    return _tables_of(kind)[".".join(tables)]


@lru_cache  # the inspection takes milliseconds
def _tables_of(kind: type[msgspec.Struct]) -> Mapping[str, Mapping[str, inspect.Type]]:
    record = inspect.type_info(kind)
    assert isinstance(record, inspect.StructType)
    return dict(_tables("", record))


def _tables(name: str, record: inspect.StructType) -> Iterator[tuple[str, dict[str, inspect.Type]]]:
    yield name, {field.encode_name: field.type for field in record.fields}
    for field in record.fields:
        for part in parts(field.type):
            if isinstance(part, inspect.StructType):
                yield from _tables(f"{name}.{field.encode_name}".lstrip("."), part)
