"""docs/fmea.md has a row for each fault that can be injected, and its tests exist."""

from __future__ import annotations

import pytest

from flightsw.dimc.injection import KINDS
from tests.unit.named_tests import ROOT, named_in, require_defined

_COLUMNS = 6


def _rows() -> list[list[str]]:
    page = (ROOT / "docs" / "fmea.md").read_text("utf-8").partition("## Not covered")[0]
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    return [line.strip("| ").split(" | ") for line in lines if "failure mode" not in line]


def test_each_kind_of_fault_has_a_row() -> None:
    modes = [row[0] for row in _rows()]
    assert [kind for kind in KINDS if not any(f"`{kind}`" in mode for mode in modes)] == []


@pytest.mark.parametrize("row", _rows(), ids=lambda row: str(row[0])[:60])
def test_each_row_is_whole_and_shown_by_tests_that_exist(row: list[str]) -> None:
    assert len(row) == _COLUMNS
    assert all(row)
    tests = named_in(row[-1])
    assert len(tests) == len(row[-1].split("<br>"))
    for path, name in tests:
        require_defined(path, name)
