"""docs/requirements.md names a test for every requirement, and every test that it names exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_PAGE = _ROOT / "docs" / "requirements.md"
_ROW = re.compile(r"\| (R-[A-Z]+-\d\d) \| (.+) \| (.*) \|")
_TEST = re.compile(r"`(tests/[\w/]+\.py)((?:::\w+)+)`")


class Requirement(NamedTuple):
    number: str
    sentence: str
    cell: str

    @property
    def tests(self) -> list[tuple[str, str]]:
        return [(path, name.removeprefix("::")) for path, name in _TEST.findall(self.cell)]


def _requirements() -> list[Requirement]:
    return [Requirement(*found.groups()) for found in map(_ROW.fullmatch, _rows()) if found]


def _rows() -> list[str]:
    return [line for line in _PAGE.read_text("utf-8").splitlines() if line.startswith("| R")]


@cache
def _defined(path: Path) -> frozenset[str]:
    """Names of the tests in a file, ``Class::method`` too, without importing it."""
    found: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (one.name for one in node.body if isinstance(one, ast.FunctionDef))
            found |= {f"{node.name}::{method}" for method in methods}
        if isinstance(node, ast.Assign):  # Test... = SomeMachine.TestCase
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(name for name in found if name.lower().startswith("test"))


def test_every_row_of_the_table_can_be_read() -> None:
    assert _rows()
    assert [row for row in _rows() if not _ROW.fullmatch(row)] == []


def test_every_requirement_has_a_number_of_its_own() -> None:
    numbers = [requirement.number for requirement in _requirements()]
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("requirement", _requirements(), ids=lambda one: str(one.number))
def test_every_requirement_is_proved_by_tests_that_exist(requirement: Requirement) -> None:
    named = requirement.cell.split("<br>")
    assert len(named) == len(requirement.tests), f"not all are tests: {named}"
    for path, name in requirement.tests:
        assert (_ROOT / path).is_file(), path
        assert name in _defined(_ROOT / path), f"{path} has no {name}"
