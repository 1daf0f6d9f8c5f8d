"""Which rooms may know which others (docs/design.md)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]

_MAY_IMPORT = {
    "sentinel_2": set(),
    "host": {"host", "errors"},
    "scene": {"scene", "sentinel_2", "host", "errors"},
    "model": {"model", "sentinel_2", "dimc", "host", "errors"},
    "dimc": {"dimc", "config", "errors"},
    "engines": {"engines", "dimc", "model", "host", "config", "errors"},
    "products": {"products", "scene", "host", "errors"},
    "pipeline": {
        *("pipeline", "host", "scene", "engines", "products"),
        *("config", "errors"),
    },
    "testing": {"scene", "engines"},
    "bench": {
        *("bench", "chain", "comparison", "engines", "dimc", "model", "pipeline", "products"),
        *("host", "scene", "telemetry", "config", "errors"),
    },
    "config": {"errors"},
    "errors": set(),
    "reporting": set(),
    "state": {"errors"},
    "commanding": {"commanding", "reporting", "state", "host", "errors"},
    "downlink": {"downlink", "state", "host", "errors"},
    "telemetry": {"telemetry", "host", "errors"},
    "fdir": {"fdir", "state", "errors"},
    "keys": {"errors"},
}

_INTERFACE = {
    f"telecommands.{name}" for name in ("dictionary", "codec", "auth", "refusal", "keys", "failure")
}
"""What the space-to-ground interface is made of: both sides build on it."""


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def _sources(package: str) -> list[Path]:
    return sorted((_ROOT / package).rglob("*.py"))


@pytest.mark.parametrize(
    ("side", "other"), [("flightsw", "telecommands"), ("telecommands", "flightsw")]
)
def test_flight_and_ground_share_nothing_but_their_interface(side: str, other: str) -> None:
    for path in _sources(side):
        found = {name for name in _imports(path) if name.split(".")[0] in (other, "deploy")}
        assert found <= _INTERFACE, f"{path.relative_to(_ROOT)} imports {found - _INTERFACE}"


def test_the_interface_knows_neither_side() -> None:
    for name in _INTERFACE:
        path = (_ROOT / name.replace(".", "/")).with_suffix(".py")
        found = {one for one in _imports(path) if one.startswith(("telecommands.", "flightsw"))}
        assert found <= _INTERFACE, f"{name} imports {found - _INTERFACE}"


def test_each_room_knows_only_the_rooms_it_may() -> None:
    for path in _sources("flightsw"):
        room = path.relative_to(_ROOT / "flightsw").parts[0].removesuffix(".py")
        if room not in _MAY_IMPORT:
            continue
        rooms = {name.split(".")[1] for name in _imports(path) if name.startswith("flightsw.")}
        assert rooms <= _MAY_IMPORT[room], f"{path.relative_to(_ROOT)} knows {rooms}"


def test_nobody_but_the_command_line_knows_the_composition_root() -> None:
    for path in _sources("flightsw"):
        if path.name not in ("cli.py", "__main__.py"):
            assert "flightsw.service.daemon" not in _imports(path), path
