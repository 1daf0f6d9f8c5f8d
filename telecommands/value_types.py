"""The valid values of a type of a record, in words: for messages about a wrong value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from msgspec import inspect

_PLAIN: Final = {
    inspect.BoolType: "true or false",
    inspect.IntType: "an integer",
    inspect.FloatType: "a number",
    inspect.StrType: "text",
    inspect.BytesType: "bytes",
    inspect.CustomType: "a path",
    inspect.StructType: "a table",
    inspect.DictType: "a table",
}
_BOUNDS: Final = (("gt", "above"), ("ge", "from"), ("le", "to"), ("lt", "below"))


def valid_values(kind: inspect.Type) -> str:
    """The valid values of this type, such as "an integer from 0 to 9"; null is not named."""
    return " or ".join(_described(part) for part in parts(kind))


def parts(kind: inspect.Type) -> list[inspect.Type]:
    """The types that a value may have, without null."""
    if isinstance(kind, inspect.Metadata):
        return parts(kind.type)
    if isinstance(kind, inspect.UnionType):
        return [part for one in kind.types for part in parts(one)]
    return [] if isinstance(kind, inspect.NoneType) else [kind]


def _described(kind: inspect.Type) -> str:
    if isinstance(kind, (inspect.LiteralType, inspect.EnumType)):
        return f"one of {', '.join(json.dumps(one) for one in _choices(kind))}"
    if isinstance(kind, inspect.VarTupleType):
        return _list(kind)
    return " ".join([_PLAIN[type(kind)], *_bounds(kind)])


def _choices(kind: inspect.LiteralType | inspect.EnumType) -> list[object]:
    if isinstance(kind, inspect.EnumType):
        return [member.value for member in kind.cls]
    return list(kind.values)


def _list(kind: inspect.VarTupleType) -> str:
    items = valid_values(kind.item_type)
    least = "at least " if kind.min_length and items.startswith("one of ") else ""
    return f"a list of {least}{items}"


def _bounds(kind: inspect.Type) -> Iterator[str]:
    for name, words in _BOUNDS:
        bound = getattr(kind, name, None)
        if bound is not None:
            yield f"{words} {bound}"
    if factor := getattr(kind, "multiple_of", None):
        yield f"that is a multiple of {factor}"
    if longest := getattr(kind, "max_length", None):
        yield f"of {getattr(kind, 'min_length', None) or 0} to {longest} characters"
    if pattern := getattr(kind, "pattern", None):
        yield f"that matches {pattern}"
