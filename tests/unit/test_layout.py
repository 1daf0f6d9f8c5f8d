"""The tree: how much a newcomer sees when a folder is opened, and tests that mirror the sources."""

from __future__ import annotations

from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_TESTS = _ROOT / "tests" / "unit"
_MOST_ENTRIES = 28


def _entries(folder: str) -> set[str]:
    return {path.name for path in (_ROOT / folder).iterdir() if path.name != "__pycache__"}


def test_the_flight_side_shows_few_entries_when_it_is_opened() -> None:
    assert len(_entries("flightsw")) <= _MOST_ENTRIES


def test_the_ground_side_shows_the_interface_and_four_rooms() -> None:
    rooms = {name for name in _entries("telecommands") if (_ROOT / "telecommands" / name).is_dir()}
    assert rooms == {"ground", "groundsim", "dashboard", "gateway"}


@pytest.mark.parametrize(
    "path", [path.relative_to(_TESTS) for path in sorted(_TESTS.glob("*/**/test_*.py"))], ids=str
)
def test_a_unit_test_lies_where_its_source_lies(path: Path) -> None:
    """``tests/unit/a/b/test_c[_aspect].py`` tests ``a/b/c.py`` or the package ``a/b/c/``."""
    folder = _ROOT / path.parent
    assert folder.is_dir(), f"{folder} does not exist"
    words = path.stem.removeprefix("test_").split("_")
    names = ["_".join(words[:count]) for count in range(1, len(words) + 1)]
    assert any((folder / f"{name}.py").exists() or (folder / name).is_dir() for name in names)
