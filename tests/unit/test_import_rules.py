"""The import rules of pyproject.toml: which rooms may know which others, through chains too."""

from __future__ import annotations

from pathlib import Path

import pytest
from importlinter.application.use_cases import read_user_options
from importlinter.cli import lint_imports

_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _in_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(_ROOT)


def _contracts() -> list[dict[str, object]]:
    return read_user_options(str(_ROOT / "pyproject.toml")).contracts_options


def test_every_contract_is_kept() -> None:
    assert lint_imports(config_filename="pyproject.toml", cache_dir=None) == 0


@pytest.mark.parametrize("side", ["flightsw", "telecommands"])
def test_every_room_of_a_side_has_its_layer(side: str) -> None:
    layers = [one for one in _contracts() if one.get("containers") == [side]]
    assert [one["exhaustive"] for one in layers] == ["True"]


@pytest.mark.parametrize(
    ("side", "others"),
    [("flightsw", {"telecommands.groundsim", "deploy"}), ("telecommands", {"flightsw", "deploy"})],
)
def test_a_side_may_not_import_the_other_side(side: str, others: set[str]) -> None:
    forbidden = [one for one in _contracts() if one.get("source_modules") == [side]]
    assert others <= {name for one in forbidden for name in one["forbidden_modules"]}  # type: ignore[attr-defined]
