"""A valid record of any type of the interface: what the campaigns begin to change."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import inspect

from telecommands.value_types import parts


def example_of(kind: type[msgspec.Struct]) -> Any:
    """A valid record of this type, with each field set, as dicts, lists and plain values."""
    return _value(inspect.type_info(kind))


def _field(field: inspect.Field) -> Any:
    given = field.default is not msgspec.NODEFAULT and field.default
    return given or _value(field.type)


def _value(kind: inspect.Type) -> Any:
    part = parts(kind)[0]
    return _OF_TYPE.get(type(part), _nothing)(part)


def _struct(kind: inspect.StructType) -> Any:
    fields = {field.encode_name: _field(field) for field in kind.fields}
    tag = {kind.tag_field: kind.tag} if kind.tag_field else {}
    return list(fields.values()) if kind.array_like else {**tag, **fields}


def _number(kind: inspect.IntType | inspect.FloatType) -> float:
    return next((bound for bound in (kind.ge, kind.le) if bound is not None), 1)


def _text(kind: inspect.StrType) -> str:
    length = re.search(r"\{(\d+)\}\\Z$", kind.pattern or "")
    return "a" * int(length[1] if length else 1)


def _map(kind: inspect.DictType) -> dict[str, Any]:
    return {} if isinstance(kind.value_type, inspect.AnyType) else {"a": _value(kind.value_type)}


def _nothing(_kind: inspect.Type) -> None:
    return None


_OF_TYPE: Final[dict[type[inspect.Type], Callable[[Any], Any]]] = {
    inspect.StructType: _struct,
    inspect.LiteralType: lambda kind: kind.values[0],
    inspect.EnumType: lambda kind: next(iter(kind.cls)).value,
    inspect.IntType: _number,
    inspect.FloatType: _number,
    inspect.StrType: _text,
    inspect.BytesType: lambda kind: b"a" * max(1, kind.min_length or 0),
    inspect.BoolType: lambda _kind: True,
    inspect.VarTupleType: lambda kind: [_value(kind.item_type)] * max(1, kind.min_length or 0),
    inspect.DictType: _map,
}
