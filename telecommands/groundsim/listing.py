"""The dictionary's telecommands as help texts for a terminal."""

from __future__ import annotations

import inspect as python
from collections.abc import Iterator
from typing import Any, Final

from msgspec import NODEFAULT, inspect

from telecommands.dictionary import TELECOMMANDS, Telecommand
from telecommands.ground.arguments import choices_of, fields_of

_PLAIN: Final = {
    inspect.BoolType: "true or false",
    inspect.IntType: "whole number",
    inspect.FloatType: "number",
    inspect.StrType: "text",
    inspect.NoneType: "null",
    inspect.StructType: "JSON",
    inspect.DictType: "JSON",
}
_BOUNDS: Final = (
    ("ge", "≥ {}"),
    ("gt", "> {}"),
    ("le", "≤ {}"),
    ("lt", "< {}"),
    ("min_length", "at least {}"),
    ("max_length", "at most {}"),
)
_LARGEST: Final = 2**63 - 1  # of every integer: not worth printing as a range


def all_telecommands() -> str:
    """For each telecommand a line with its summary and a line with its arguments."""
    lines: list[str] = []
    for name, kind in TELECOMMANDS.items():
        mark = "  (asks for confirmation)" if kind.HAZARDOUS else ""
        lines.append(f"{name:<24}{_summary(kind)}{mark}")
        if fields_of(kind):
            words = (
                field.name if field.required else f"[{field.name}]" for field in fields_of(kind)
            )
            lines.append(f"{'':<24}{' '.join(words)}")
    return "\n".join(lines)


def one_telecommand(kind: type[Telecommand]) -> str:
    """Its purpose, each argument with type, range, default and meaning, and its result."""
    lines = [f"{kind.NAME}: {python.cleandoc(kind.__doc__ or '')}"]
    lines += [_field_line(field) for field in fields_of(kind)] or ["  no arguments"]
    if kind.RESULT is not None:
        result = ", ".join(field.name for field in fields_of(kind.RESULT))
        lines.append(f"returns {kind.RESULT.__name__}: {result}")
    traits = [
        *(["read-only"] if kind.READ_ONLY else []),
        "runs in SAFE mode" if kind.IN_SAFE else "does not run in SAFE mode",
        *(["asks for confirmation"] if kind.HAZARDOUS else []),
    ]
    return "\n".join([*lines, ", ".join(traits)])


def _field_line(field: inspect.Field) -> str:
    default = "required" if field.required else f"default {_shown(field)}"
    notes = dict.fromkeys(_notes(field.type))
    return f"  {field.name:<24}{_type(field.type)}; {'; '.join([default, *notes])}"


def _summary(kind: type[Telecommand]) -> str:
    return python.cleandoc(kind.__doc__ or "").splitlines()[0]


def _shown(field: inspect.Field) -> str:
    value: Any = field.default_factory() if field.default is NODEFAULT else field.default
    if value is None:
        return "null"
    if isinstance(value, tuple):
        return ",".join(str(getattr(item, "value", item)) for item in value) or "none"
    return str(value)


def _type(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.Metadata):
        unit = (kind.extra or {}).get("unit")
        if unit == "ns":
            return "time (+30s, ISO 8601 in UTC, or ns)"
        return _type(kind.type) + (f" [{unit}]" if unit else "")
    if isinstance(kind, inspect.UnionType):
        return " or ".join(_type(member) for member in kind.types)
    if isinstance(kind, inspect.VarTupleType):
        return f"list of {_type(kind.item_type)}"
    if isinstance(kind, (inspect.LiteralType, inspect.EnumType)):
        return "|".join(str(value) for value in choices_of(kind))
    return _PLAIN.get(type(kind), "JSON")


def _notes(kind: inspect.Type) -> Iterator[str]:
    """Descriptions and ranges, outermost type first."""
    if isinstance(kind, inspect.Metadata):
        description = (kind.extra_json_schema or {}).get("description")
        if description:
            yield description
        yield from _notes(kind.type)
    elif isinstance(kind, inspect.UnionType):
        for member in kind.types:
            yield from _notes(member)
    else:
        for name, text in _BOUNDS:
            bound = getattr(kind, name, None)
            if bound is not None and bound != _LARGEST:
                yield text.format(bound)
