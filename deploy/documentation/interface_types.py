"""The dictionary's types as Markdown: what a field is, its unit, range, default and meaning."""

from __future__ import annotations

import inspect
import re
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

from telecommands.dictionary import MEANINGS, Identifier, UnitName, UtcNanoseconds
from telecommands.ground.limits import extra_of


def plain(found: Type) -> Type:
    """A type without its metadata."""
    return plain(found.type) if isinstance(found, Metadata) else found


_NAMED: Final = {
    "identifier": plain(type_info(Identifier)),
    "time": plain(type_info(UtcNanoseconds)),
    "unit-name": plain(type_info(UnitName)),
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
    """The docstring as Markdown, a sentence a line; its lists stay lists."""
    text = re.sub(r"(?<!\n)\n(?!\n|- ) *", " ", inspect.cleandoc(kind.__doc__ or ""))
    text = re.sub(r":\w+:(`[^`]+`)", r"\1", text.replace("``", "`"))
    return "\n".join(
        re.sub(r"(?<=[^.])\. +(?=[A-Z`])", ".\n  " if line.startswith("- ") else ".\n", line)
        for line in text.splitlines()
    )


def fields_table(kind: type[msgspec.Struct]) -> Iterator[str]:
    """A record's fields, one a row; nothing for a record without fields."""
    record = record_of(kind)
    if not record.fields:
        return
    yield "\n| field | type | unit | range | default | meaning |\n"
    yield "| --- | --- | --- | --- | --- | --- |\n"
    if record.tag_field is not None:
        tag = value(record.tag)
        yield f"| `{record.tag_field}` | {tag} |  |  | required | names the record |\n"
    for field in record.fields:
        cells = (
            f"`{field.encode_name}`",
            type_name(field.type),
            extra_of(field.type).get("unit", ""),
            "; ".join(ranges(field.type)),
            _default(field),
            _meaning(field),
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
    found = plain(found)
    for name, named in _NAMED.items():
        if found == named:
            return f"[{name}](#{name})"
    if isinstance(found, (StructType, EnumType)):
        return f"[{found.cls.__name__}](#{found.cls.__name__.lower()})"
    return _compound(found) or _PLAIN[type(found)]


def _compound(found: Type) -> str:
    if isinstance(found, LiteralType):
        return " or ".join(map(value, found.values))
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
    return f"`{msgspec.json.encode(one, enc_hook=str).decode()}`"


def _default(field: Field) -> str:
    if field.required:
        return "required"
    if field.default_factory is not msgspec.NODEFAULT:
        return value(field.default_factory())
    return value(field.default.value if isinstance(field.default, Enum) else field.default)


def _meaning(field: Field) -> str:
    """Of the field itself, else of the record or enumeration it holds, else of its name."""
    metadata = field.type if isinstance(field.type, Metadata) else Metadata(field.type)
    described = (metadata.extra_json_schema or {}).get("description") or next(
        (
            doc_of(part.cls).split("\n")[0].rstrip(".")
            for part in options_of(field.type)
            if isinstance(part, (StructType, EnumType))
        ),
        MEANINGS.get(field.encode_name, ""),
    )
    limits = "; ".join(
        f"{name.replace('_', ' ')} {bound:g}"
        for name in _LIMITS
        if (bound := (metadata.extra or {}).get(name)) is not None
    )
    return "; ".join(filter(None, (described, limits)))


def options_of(found: Type) -> tuple[Type, ...]:
    """The types that a field may have, without metadata."""
    found = plain(found)
    types = found.types if isinstance(found, UnionType) else (found,)
    return tuple(map(plain, types))


def ranges(found: Type) -> Iterator[str]:
    """Bounds, lengths and patterns of a type, in words."""
    found = plain(found)
    if found in _NAMED.values():
        return
    if isinstance(found, UnionType):
        for one in found.types:
            yield from ranges(one)
        return
    for name, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤")):
        if (bound := getattr(found, name, None)) is not None:
            yield f"{sign} {bound:,}"
    if factor := getattr(found, "multiple_of", None):
        yield f"a multiple of {factor}"
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
