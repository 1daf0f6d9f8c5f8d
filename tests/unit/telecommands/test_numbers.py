"""Numbers that ground databases hold: frozen in numbers.json beside this file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import inspect

from telecommands import dictionary, numbers
from telecommands.ground.arguments import choices_of, fields_of

_FROZEN: Final = json.loads(Path(__file__).with_name("numbers.json").read_text())
_TABLES: Final[Mapping[str, Mapping[str, int]]] = {
    "telecommands": numbers.TELECOMMANDS,
    "packets": numbers.PACKETS,
    "events": numbers.EVENTS,
    "parameters": numbers.PARAMETERS,
    **{f"enumerations.{name}": members for name, members in numbers.ENUMERATIONS.items()},
}


def _frozen(table: str) -> Mapping[str, int]:
    first, _, rest = table.partition(".")
    found: Mapping[str, int] = _FROZEN[first][rest] if rest else _FROZEN[first]
    return found


@pytest.mark.parametrize("table", _TABLES)
def test_no_number_changes_and_none_is_given_to_another_name(table: str) -> None:
    frozen = _frozen(table)
    assert len(set(frozen.values())) == len(frozen)
    for name, number in _TABLES[table].items():
        assert name in frozen, f"append {name!r} to {table} of numbers.json, with an unused number"
        assert number == frozen[name]


def test_no_enumeration_that_was_numbered_is_forgotten() -> None:
    assert numbers.ENUMERATIONS.keys() >= _FROZEN["enumerations"].keys()


@pytest.mark.parametrize(
    ("numbered", "named"),
    [
        (numbers.TELECOMMANDS, dictionary.TELECOMMANDS),
        (numbers.PACKETS, dictionary.PACKETS),
        (numbers.EVENTS, dictionary.EVENTS),
        (numbers.PARAMETERS, dictionary.PARAMETERS),
    ],
)
def test_exactly_the_names_of_the_dictionary_have_numbers(
    numbered: Mapping[str, int], named: Iterable[str]
) -> None:
    assert list(numbered) == list(named)
    assert all(0 < number < 2**16 for number in numbered.values())


def test_every_enumeration_of_the_dictionary_has_numbers_that_fit_one_byte() -> None:
    for members in _enumerations():
        assert all(0 < number < 255 for number in numbers.numbers_of(members).values())


def test_members_of_no_enumeration_are_named() -> None:
    with pytest.raises(KeyError, match="no enumeration has or, fast"):
        numbers.numbers_of(("or", "fast"))


def _enumerations() -> set[tuple[str, ...]]:
    """Members of each enumeration: types of the dictionary, and those of fields and parameters."""
    found = {
        tuple(member.value for member in kind)
        for kind in vars(dictionary).values()
        if isinstance(kind, type) and issubclass(kind, Enum) and kind is not Enum
    }
    found |= {one.choices for one in dictionary.PARAMETERS.values() if one.choices}
    for kind in vars(dictionary).values():
        if isinstance(kind, type) and issubclass(kind, dictionary.Record):
            for field in fields_of(kind):
                found |= set(_choices(field.type))
    return {one for one in found if set(one) != set(dictionary.PACKETS)}  # topics are packet kinds


def _choices(kind: Any) -> Iterable[tuple[str, ...]]:
    if isinstance(kind, (inspect.LiteralType, inspect.EnumType)):
        members = choices_of(kind)
        if isinstance(members[0], str):
            yield members
    elif isinstance(kind, (inspect.Metadata,)):
        yield from _choices(kind.type)
    elif isinstance(kind, inspect.VarTupleType):
        yield from _choices(kind.item_type)
    elif isinstance(kind, inspect.UnionType):
        for one in kind.types:
            yield from _choices(one)


def test_every_member_of_an_enumeration_is_in_the_dictionary() -> None:
    known = {member for members in _enumerations() for member in members}
    for members in numbers.ENUMERATIONS.values():
        assert members.keys() <= known
