"""Forms of telecommands: arguments with type, range, unit and default; and filled-in forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import inspect

from telecommands.dashboard.points.data import NS_PER_MS
from telecommands.dictionary import TELECOMMANDS, Telecommand
from telecommands.ground.arguments import (
    choices_of,
    fields_of,
    is_time,
    read_times,
    telecommand_named,
    unwrap_type,
)
from telecommands.ground.commanding import check_arguments
from telecommands.ground.errors import UsageError
from telecommands.ground.limits import extra_of

ArgumentKind: TypeAlias = Literal[
    "number", "integer", "text", "choice", "boolean", "choices", "time", "json"
]

_PLAIN: Final[Mapping[type[inspect.Type], ArgumentKind]] = {
    inspect.BoolType: "boolean",
    inspect.IntType: "integer",
    inspect.FloatType: "number",
    inspect.StrType: "text",
}
_MOST_MS: Final = 2**63 / NS_PER_MS


class Argument(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a form.  ``time`` is UTC milliseconds, ISO 8601 or ``+30s``."""

    name: str
    doc: str
    type: ArgumentKind
    unit: str | None
    min: float | None
    max: float | None
    choices: tuple[Any, ...] | None
    default: Any
    required: bool
    min_length: int | None
    max_length: int | None
    pattern: str | None
    listed_by: str | None
    """Telecommand whose result lists the values on board."""


class Form(msgspec.Struct, frozen=True):
    """A telecommand as a form."""

    name: str
    doc: str
    hazardous: bool
    args: tuple[Argument, ...]


def forms() -> tuple[Form, ...]:
    """All telecommands, in the dictionary's order."""
    return tuple(_form(kind) for kind in TELECOMMANDS.values())


def filled_in(name: str, args: Mapping[str, Any], now_ns: int) -> dict[str, Any]:
    """A filled-in form as the telecommand's arguments, times as UTC nanoseconds.

    Raises :class:`UsageError` for an unknown telecommand or an invalid argument.
    """
    kind = telecommand_named(name)
    times = {field.name for field in fields_of(kind) if is_time(field.type)}
    converted = {key: _nanoseconds(value) if key in times else value for key, value in args.items()}
    try:
        converted = read_times(name, converted, now_ns)
    except (ValueError, OverflowError) as error:
        raise UsageError(name, f"has an invalid time: {error}", "Correct the time") from error
    check_arguments(name, converted)
    return converted


def _nanoseconds(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    return round(value * NS_PER_MS) if abs(value) < _MOST_MS else value


def _form(kind: type[Telecommand]) -> Form:
    doc = " ".join((kind.__doc__ or "").replace("``", "").split())
    return Form(kind.NAME, doc, kind.HAZARDOUS, tuple(_argument(one) for one in fields_of(kind)))


def _argument(field: inspect.Field) -> Argument:
    bare, meta = unwrap_type(field.type)
    kind, choices = _kind(bare)
    if is_time(field.type):
        kind = "time"
    unit = extra_of(field.type).get("unit")
    bounds = {} if kind in ("time", "json") else meta
    return Argument(
        name=field.encode_name,
        doc=meta.get("description", ""),
        type=kind,
        unit="ms" if kind == "time" else unit,
        min=bounds.get("ge", bounds.get("gt")),
        max=bounds.get("le", bounds.get("lt")),
        choices=choices,
        default=_default(field),
        required=field.required,
        min_length=bounds.get("min_length"),
        max_length=bounds.get("max_length"),
        pattern=_for_browsers(bounds.get("pattern")),
        listed_by=extra_of(field.type).get("listed_by"),
    )


def _for_browsers(pattern: str | None) -> str | None:
    r"""ECMAScript has no ``\Z``; its ``$`` means the same."""
    return None if pattern is None else pattern.replace(r"\Z", "$")


def _kind(bare: inspect.Type) -> tuple[ArgumentKind, tuple[Any, ...] | None]:
    if isinstance(bare, (inspect.LiteralType, inspect.EnumType)):
        return "choice", choices_of(bare)
    if isinstance(bare, inspect.VarTupleType):
        item, _ = unwrap_type(bare.item_type)
        if isinstance(item, (inspect.LiteralType, inspect.EnumType)):
            return "choices", choices_of(item)
    return _PLAIN.get(type(bare), "json"), None


def _default(field: inspect.Field) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.to_builtins(field.default_factory())
    return None if field.default is msgspec.NODEFAULT else msgspec.to_builtins(field.default)
