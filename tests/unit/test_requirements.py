"""docs/requirements.md names a test for every requirement, and every test that it names exists."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from tests.unit.named_tests import ROOT, named_in, require_defined

_PAGE = ROOT / "docs" / "requirements.md"
_ROW = re.compile(r"\| (R-[A-Z]+-\d\d) \| (.+) \| (.*) \|")


class Requirement(NamedTuple):
    number: str
    sentence: str
    cell: str

    @property
    def tests(self) -> list[tuple[str, str]]:
        return named_in(self.cell)


def _requirements() -> list[Requirement]:
    return [Requirement(*found.groups()) for found in map(_ROW.fullmatch, _rows()) if found]


def _rows() -> list[str]:
    return [line for line in _PAGE.read_text("utf-8").splitlines() if line.startswith("| R")]


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
        require_defined(path, name)
