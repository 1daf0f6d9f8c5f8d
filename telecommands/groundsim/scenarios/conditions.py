"""The conditions of a scenario on the fields of a packet, by dotted path."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType, inspect

from telecommands.dictionary import PACKETS, Topic

REFERENCE: Final = re.compile(r"\$\{(\w+)\}")

Reference: TypeAlias = Annotated[str, Meta(pattern=r"^\$\{\w+\}\Z")]
Bound: TypeAlias = float | Reference


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every condition given must hold.  Bounds are inclusive."""

    at_least: Bound | UnsetType = UNSET
    at_most: Bound | UnsetType = UNSET
    between: tuple[Bound, Bound] | UnsetType = UNSET
    one_of: tuple[Any, ...] | UnsetType = UNSET
    is_not: Any = UNSET
    contains: Any = UNSET


_CHECKS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "at_least": lambda found, bound: bool(found >= bound),
    "at_most": lambda found, bound: bool(found <= bound),
    "between": lambda found, bounds: bool(bounds[0] <= found <= bounds[1]),
    "one_of": lambda found, values: found in values,
    "is_not": lambda found, value: bool(found != value),
    "contains": lambda found, value: value in found,
}


def as_fields(record: msgspec.Struct) -> dict[str, Any]:
    """A packet's body as maps, lists, texts and numbers, for the conditions."""
    fields: dict[str, Any] = msgspec.to_builtins(record, builtin_types=(bytes,))
    return fields


def holds(where: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
    """Whether every condition holds; a value that is absent or not comparable does not hold."""
    return not any(_unmet(path, wanted, fields) for path, wanted in where.items())


def unmet(where: Mapping[str, Any], fields: Mapping[str, Any]) -> str:
    """The conditions that do not hold, with the values found."""
    return ", ".join(
        f"{path} is {_found(fields, path)}"
        for path, wanted in where.items()
        if _unmet(path, wanted, fields)
    )


def value_at(fields: Any, path: str) -> Any:
    """The value at a dotted path, as in ``data.products.0.kind``.  Raises :class:`KeyError`.

    Keys that contain dots (thread names, parameters) cannot be addressed.
    """
    value = fields
    for part in path.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise KeyError(path)
    return value


def check_path(topic: Topic, path: str) -> None:
    """Raise :class:`ValueError`, which names the fields, if packets of the topic lack the path."""
    _check_path(_fields_of(topic), path.split("."), topic)


@lru_cache  # the inspection takes milliseconds
def _fields_of(topic: Topic) -> inspect.Type:
    return inspect.type_info(PACKETS[topic])


def fill(value: Any, names: Mapping[str, Any]) -> Any:
    """The value with each ``${name}`` replaced; a text of one name only takes the value's type."""
    if isinstance(value, str):
        whole = REFERENCE.fullmatch(value)
        if whole:
            return names[whole[1]]
        return REFERENCE.sub(lambda found: str(names[found[1]]), value)
    if isinstance(value, Mapping):
        return {key: fill(item, names) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [fill(item, names) for item in value]
    return value


def references(value: Any) -> Iterator[str]:
    """The names in every ``${name}`` inside the value."""
    if isinstance(value, str):
        yield from REFERENCE.findall(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from references(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from references(item)


def _unmet(path: str, wanted: Any, fields: Mapping[str, Any]) -> bool:
    try:
        found = value_at(fields, path)
        if not isinstance(wanted, Mapping):
            return bool(found != wanted)
        return not all(_CHECKS[name](found, bound) for name, bound in wanted.items())
    except (KeyError, TypeError):
        return True


def _found(fields: Mapping[str, Any], path: str) -> str:
    try:
        return repr(value_at(fields, path))
    except KeyError:
        return "absent"


def _check_path(kind: inspect.Type, parts: list[str], place: str) -> None:
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    if not parts or isinstance(kind, (inspect.DictType, inspect.AnyType, inspect.VarTupleType)):
        return
    fields = (
        {field.name: field.type for field in kind.fields}
        if isinstance(kind, inspect.StructType)
        else {}
    )
    if parts[0] not in fields:
        known = f"its fields are {', '.join(fields)}" if fields else "it has no fields"
        raise ValueError(f"{place} has no field {parts[0]!r}; {known}")
    _check_path(fields[parts[0]], parts[1:], f"{place} {parts[0]}")
