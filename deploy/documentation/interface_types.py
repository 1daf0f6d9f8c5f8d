"""The dictionary's types as Markdown: what a field is, its unit, range, default and meaning."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from enum import Enum
from typing import Any, Final

import msgspec
from msgspec.inspect import (
    AnyType,
    BoolType,
    BytesType,
    DictType,
    EnumType,
    Field,
    FloatType,
    IntType,
    LiteralType,
    Metadata,
    NoneType,
    RawType,
    StrType,
    StructType,
    Type,
    UnionType,
    VarTupleType,
    type_info,
)

from telecommands.dictionary import Identifier, UtcNanoseconds

_NAMED: Final = {
    "identifier": type_info(Identifier),
    "time": type_info(UtcNanoseconds),
}
_PLAIN: Final = {
    AnyType: "anything",
    NoneType: "nil",
    BoolType: "boolean",
    IntType: "integer",
    FloatType: "number",
    StrType: "text",
    BytesType: "binary",
    RawType: "map",
}
_COUNTED: Final = {StrType: "characters", BytesType: "bytes", VarTupleType: "elements"}
_LIMITS: Final = ("warning_low", "critical_low", "warning_high", "critical_high")


def record_of(kind: type[msgspec.Struct]) -> StructType:
    """What msgspec knows of a record."""
    found = type_info(kind)
    assert isinstance(found, StructType)
    return found


def doc_of(kind: type) -> str:
    """The docstring without the marks of the code's own documentation."""
    text = inspect.cleandoc(kind.__doc__ or "").replace(".  ", ". ")
    return text.replace("``", "`").replace(":data:`EVENTS`", "the list of events")


def fields_table(kind: type[msgspec.Struct]) -> Iterator[str]:
    """A record's fields, one a row; nothing for a record without fields."""
    record = record_of(kind)
    if not record.fields:
        return
    yield "\n| field | type | unit | range | default | meaning |\n"
    yield "| --- | --- | --- | --- | --- | --- |\n"
    if record.tag_field is not None:
        yield f"| `{record.tag_field}` | {value(record.tag)} |  |  | required |  |\n"
    for field in record.fields:
        cells = (
            f"`{field.encode_name}`",
            type_name(field.type),
            str(_fact(field.type, "unit") or ""),
            "; ".join(_ranges(field.type)),
            _default(field),
            _meaning(field.type),
        )
        yield f"| {' | '.join(cells)} |\n"


def records_in(kind: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    """The records that a record's fields hold, at any depth."""
    for field in record_of(kind).fields:
        for part in _parts(field.type):
            if isinstance(part, StructType):
                yield part.cls
                yield from records_in(part.cls)


def type_name(found: Type) -> str:
    """What to expect on the wire, in words."""
    for name, named in _NAMED.items():
        if found == named:
            return f"[{name}](#{name})"
    if isinstance(found, Metadata):
        return type_name(found.type)
    if isinstance(found, (StructType, EnumType)):
        return f"[{found.cls.__name__}](#{found.cls.__name__.lower()})"
    return _compound(found) or _PLAIN[type(found)]


def _compound(found: Type) -> str:
    if isinstance(found, LiteralType):
        return " or ".join(value(one) for one in found.values)
    if isinstance(found, UnionType):
        return " or ".join(type_name(one) for one in found.types)
    if isinstance(found, VarTupleType):
        inner = type_name(found.item_type)
        return f"array of ({inner})" if " or " in inner else f"array of {inner}"
    if isinstance(found, DictType):
        return f"map of {type_name(found.key_type)} to {type_name(found.value_type)}"
    return ""


def value(one: Any) -> str:
    """A value as one would write it in JSON."""
    return f"`{msgspec.json.encode(one).decode()}`"


def _default(field: Field) -> str:
    if field.required:
        return "required"
    if field.default_factory is not msgspec.NODEFAULT:
        return value(field.default_factory())
    return value(field.default.value if isinstance(field.default, Enum) else field.default)


def _meaning(found: Type) -> str:
    """Only what belongs to the field itself: a named type tells its own meaning."""
    if found in _NAMED.values() or not isinstance(found, Metadata):
        return ""
    described = (found.extra_json_schema or {}).get("description", "")
    limits = "; ".join(
        f"{name.replace('_', ' ')} {bound:g}"
        for name in _LIMITS
        if (bound := (found.extra or {}).get(name)) is not None
    )
    return "; ".join(filter(None, (described, limits)))


def _fact(found: Type, name: str) -> Any:
    if isinstance(found, Metadata):
        return (found.extra or {}).get(name) or _fact(found.type, name)
    if isinstance(found, UnionType):
        return next(filter(None, (_fact(one, name) for one in found.types)), None)
    return None


def _ranges(found: Type) -> Iterator[str]:
    if found in _NAMED.values():
        return
    if isinstance(found, Metadata):
        yield from _ranges(found.type)
        return
    if isinstance(found, UnionType):
        for one in found.types:
            yield from _ranges(one)
        return
    for name, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤")):
        if (bound := getattr(found, name, None)) is not None:
            yield f"{sign} {bound:,}"
    low, high = getattr(found, "min_length", None), getattr(found, "max_length", None)
    if high is not None:
        span = f"{low} to {high}" if low else f"at most {high}"
        yield f"{high if low == high else span} {_COUNTED[type(found)]}"
    if pattern := getattr(found, "pattern", None):
        yield f"matches `{pattern}`"


def _parts(found: Type) -> Iterator[Type]:
    yield found
    if isinstance(found, Metadata):
        yield from _parts(found.type)
    elif isinstance(found, UnionType):
        for one in found.types:
            yield from _parts(one)
    elif isinstance(found, VarTupleType):
        yield from _parts(found.item_type)
    elif isinstance(found, DictType):
        yield from _parts(found.value_type)
