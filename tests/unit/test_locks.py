"""The locks from which flight units and images are installed."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import msgspec
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ROOT = Path(__file__).resolve().parents[2]
_JETSON = _ROOT / "deploy" / "jetson" / "requirements.txt"
_IMAGE = _ROOT / "deploy" / "container" / "requirements.txt"
_PINNED = re.compile(r"([\w.-]+)==(\S+) \\\n((?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)")
_LOCKS = {_JETSON: "3.10", _IMAGE: "3.12"}


@cache
def _locked(lock: Path) -> dict[str, str]:
    """Name and version of every distribution that has an exact version and a hash."""
    text = lock.read_text("utf-8")
    assert _PINNED.sub("", text) == "", "each entry is NAME==VERSION with hashes, and nothing else"
    return {canonicalize_name(name): version for name, version, _ in _PINNED.findall(text)}


def _required(*extras: str) -> list[Requirement]:
    project = msgspec.toml.decode((_ROOT / "pyproject.toml").read_bytes())["project"]
    optional = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for extra in extras for line in optional[extra])]
    return [Requirement(line) for line in lines]


def _constraints(python: str) -> dict[str, str]:
    lines = (_ROOT / "constraints.txt").read_text("utf-8").splitlines()
    wanted = [Requirement(line) for line in lines if not line.startswith("#")]
    environment = {"python_version": python}
    return {
        canonicalize_name(one.name): str(one.specifier).removeprefix("==")
        for one in wanted
        if one.marker is None or one.marker.evaluate(environment)
    }


def _lacking(lock: Path, required: list[Requirement], python: str) -> list[str]:
    held = _locked(lock)
    environment = {"python_version": python}
    return [
        str(one)
        for one in required
        if (one.marker is None or one.marker.evaluate(environment))
        and not one.specifier.contains(held.get(canonicalize_name(one.name), "0"))
    ]


def test_a_flight_unit_gets_an_exact_version_of_all_that_is_required() -> None:
    build = msgspec.toml.decode((_ROOT / "pyproject.toml").read_bytes())["build-system"]
    required = [*_required(), *map(Requirement, build["requires"])]
    assert _lacking(_JETSON, required, "3.10") == []


def test_an_image_gets_what_the_ground_needs_too() -> None:
    assert _lacking(_IMAGE, _required("ground"), "3.12") == []


@pytest.mark.parametrize("lock", _LOCKS, ids=lambda lock: str(lock.parent.name))
def test_a_lock_has_the_versions_that_are_developed_with(lock: Path) -> None:
    held, pinned = _locked(lock), _constraints(_LOCKS[lock])
    assert {n: v for n, v in held.items() if n in pinned and pinned[n] != v} == {}


@pytest.mark.parametrize("lock", _LOCKS, ids=lambda lock: str(lock.parent.name))
def test_a_lock_leaves_torch_to_the_unit_and_names_no_server(lock: Path) -> None:
    assert "torch" not in _locked(lock)
    assert "//" not in lock.read_text("utf-8")
