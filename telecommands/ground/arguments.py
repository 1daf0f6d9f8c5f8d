"""``key=value`` of a command line as a telecommand's arguments, typed by the dictionary."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import inspect

from telecommands.dictionary import TELECOMMANDS, Telecommand
from telecommands.failure import UNDECODABLE
from telecommands.ground.commanding import check_arguments
from telecommands.ground.errors import UsageError
from telecommands.times import read_time

_TRUTH: Final = {"true": True, "yes": True, "false": False, "no": False}


def read_arguments(name: str, pairs: Sequence[str], now_ns: int) -> dict[str, Any]:
    """Arguments of the named telecommand; ``+30s`` counts from ``now_ns``.

    List items are separated by commas, ``null`` is null, structures are JSON, times are ``+30s``
    (ms, s, min, h, d), ISO 8601 in UTC or nanoseconds.  Raises :class:`UsageError` that names
    the argument and, if it does not exist, the nearest names.
    """
    fields = {field.name: field.type for field in fields_of(telecommand_named(name))}
    args: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            cause = f"got {pair!r}, which is not key=value"
            raise UsageError(name, cause, _arguments_of(fields))
        if key not in fields:
            cause = f"has no argument {key!r}{_nearest(key, fields)}"
            raise UsageError(name, cause, _arguments_of(fields))
        if key in args:
            raise UsageError(name, f"got the argument {key} twice", "Give it once")
        if not text.strip():
            raise UsageError(f"{name} {key}", "is empty", "Give a value, or leave it out")
        try:
            args[key] = _read(fields[key], text, now_ns)
        except ValueError as error:
            cure = f"See groundsim send {name} --help-arguments"
            raise UsageError(f"{name} {key}", f"is wrong: {error}", cure) from error
    check_arguments(name, args)
    return args


def read_times(name: str, args: Mapping[str, Any], now_ns: int) -> dict[str, Any]:
    """Arguments with times written as text (``+30s``, ISO 8601) converted to UTC nanoseconds.

    All other values stay as they are, valid or not: some telecommands are meant to be rejected.
    """
    kind = TELECOMMANDS.get(name)
    fields = {field.name: field.type for field in fields_of(kind)} if kind else {}
    return {
        key: read_time(value, now_ns)
        if isinstance(value, str) and key in fields and is_time(fields[key])
        else value
        for key, value in args.items()
    }


def telecommand_named(name: str) -> type[Telecommand]:
    """The telecommand's type; :class:`UsageError` names the nearest telecommands."""
    kind = TELECOMMANDS.get(name)
    if kind is None:
        cause = f"is not a telecommand{_nearest(name.upper(), TELECOMMANDS)}"
        raise UsageError(name, cause, "See groundsim send --list")
    return kind


def fields_of(kind: type[msgspec.Struct]) -> tuple[inspect.Field, ...]:
    """Fields of a type of the dictionary."""
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    return described.fields


def choices_of(kind: inspect.LiteralType | inspect.EnumType) -> tuple[Any, ...]:
    """The allowed values."""
    if isinstance(kind, inspect.EnumType):
        return tuple(member.value for member in kind.cls)
    return tuple(kind.values)


def allowed_values(kind: inspect.Type) -> tuple[Any, ...]:
    """The values of a list of choices, also of one item of a list; none for other types."""
    bare, _ = unwrap_type(kind)
    if isinstance(bare, inspect.VarTupleType):
        bare, _ = unwrap_type(bare.item_type)
    return choices_of(bare) if isinstance(bare, (inspect.LiteralType, inspect.EnumType)) else ()


def unwrap_type(kind: inspect.Type) -> tuple[inspect.Type, dict[str, Any]]:
    """The type without metadata and None, and its range, length and description."""
    if isinstance(kind, inspect.Metadata):
        bare, meta = unwrap_type(kind.type)
        return bare, {**meta, **_facts(kind), **(kind.extra_json_schema or {})}
    if isinstance(kind, inspect.UnionType):
        others = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
        if len(others) == 1:
            return unwrap_type(others[0])
    facts = {} if isinstance(kind, inspect.UnionType) else _facts(kind)
    return kind, facts


def _facts(kind: inspect.Type) -> dict[str, Any]:
    names = ("ge", "gt", "le", "lt", "min_length", "max_length", "pattern")
    found = {name: getattr(kind, name, None) for name in names}
    return {name: fact for name, fact in found.items() if fact is not None}


def _read(kind: inspect.Type, text: str, now_ns: int) -> Any:
    """Convert text of the command line to a value of that type."""
    if isinstance(kind, inspect.UnionType):
        return _read_any_of(kind, text, now_ns)
    if isinstance(kind, inspect.Metadata):
        return read_time(text, now_ns) if is_time(kind) else _read(kind.type, text, now_ns)
    if isinstance(kind, inspect.VarTupleType):
        return [_read(kind.item_type, item, now_ns) for item in text.split(",") if item]
    if isinstance(kind, (inspect.LiteralType, inspect.EnumType)):
        return _choice(choices_of(kind), text)
    reader = _READERS.get(type(kind), _json)
    return reader(text)


def _read_any_of(kind: inspect.UnionType, text: str, now_ns: int) -> Any:
    if text == "null" and kind.includes_none:
        return None
    members = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
    for member in members[:-1]:
        try:
            return _read(member, text, now_ns)
        except ValueError:
            continue
    return _read(members[-1], text, now_ns)


def _choice(values: Iterable[Any], text: str) -> Any:
    for value in values:
        if str(value) == text:
            return value
    raise ValueError(f"{text!r} is not one of {', '.join(str(value) for value in values)}")


def _truth(text: str) -> bool:
    try:
        return _TRUTH[text.lower()]
    except KeyError:
        raise ValueError(f"{text!r} is neither true nor false") from None


def _whole(text: str) -> int:
    """Digits, or a number like ``2e9``: byte counts are long."""
    try:
        return int(text)
    except ValueError:
        number = _number(text)
        if number != int(number):
            raise ValueError(f"{text!r} is not a whole number") from None
        return int(number)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is not a finite number")
    return number


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except UNDECODABLE as error:
        raise ValueError(f"{text!r} is not JSON: {error}") from error


_READERS: Final[Mapping[type[inspect.Type], Callable[[str], Any]]] = {
    inspect.BoolType: _truth,
    inspect.IntType: _whole,
    inspect.FloatType: _number,
    inspect.StrType: str,
}


def is_time(kind: inspect.Type) -> bool:
    """Whether it is UTC in nanoseconds."""
    if isinstance(kind, inspect.UnionType):
        return any(is_time(member) for member in kind.types)
    if isinstance(kind, inspect.Metadata):
        return (kind.extra or {}).get("unit") == "ns" or is_time(kind.type)
    return False


def _nearest(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(names), n=3, cutoff=0.5)
    return f"; the nearest are {', '.join(close)}" if close else ""


def _arguments_of(fields: Mapping[str, object]) -> str:
    return f"Its arguments are {', '.join(fields)}" if fields else "Give it no arguments"
