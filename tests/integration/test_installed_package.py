"""The wheel, installed without extras on the Pythons of this machine, and the sdist.

The oldest and the newest supported Python are tried; with FLIGHTSW_LONG_TESTS, those between too.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from zipfile import ZipFile

import pytest

import flightsw
from tests.conftest import Simulated
from tests.integration.installed import (
    Distributions,
    Installed,
    build_distributions,
    find_python,
)

_EXTRAS: Final = frozenset(
    {"anyio", "axelera", "matplotlib", "nvidia", "pyarrow", "starlette", "tensorrt", "torch"}
    | {"distributed", "prometheus_client", "uvicorn", "websockets"}
    | {"cfdppy", "fastcrc", "spacepackets"}
)
"""Modules that only extras, or the vendors' own installers, bring."""

_IMPORT_ALL: Final = """
import importlib, json, pkgutil
absent = {}
for package in ("flightsw", "telecommands"):
    root = importlib.import_module(package)
    for module in pkgutil.walk_packages(root.__path__, package + "."):
        if module.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            absent[module.name] = error.name
print(json.dumps(absent))
"""

_SETTINGS: Final = """
model = "{model}"
[service]
unsigned_models = true
unit = "installed"
state_dir = "state"
scene_root = "scenes"
telecommand_port = 0
telemetry_port = 0
downlink_port = 0
[dimc]
card = "simulator"
threads = 1
"""


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    return build_distributions(tmp_path_factory.mktemp("distributions"))


_BETWEEN: Final = pytest.mark.skipif(
    "FLIGHTSW_LONG_TESTS" not in os.environ,
    reason="takes long: set FLIGHTSW_LONG_TESTS",
)


@pytest.fixture(
    scope="module",
    params=[
        "3.10",
        pytest.param("3.11", marks=_BETWEEN),
        pytest.param("3.12", marks=_BETWEEN),
        "3.13",
    ],
)
def installed(
    request: pytest.FixtureRequest,
    distributions: Distributions,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installed]:
    python = find_python(request.param)
    if python is None:
        pytest.skip(f"Python {request.param} is not on this machine")
    folder = tmp_path_factory.mktemp("installed")
    yield Installed(folder, python, distributions.wheel)
    shutil.rmtree(folder)  # 570 MB


def _files(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder.parent))
        for path in folder.rglob("*")
        if path.is_file() and "egg-info" not in str(path)
    }


def test_the_sdist_holds_the_whole_checkout(distributions: Distributions) -> None:
    with tarfile.open(distributions.sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    for folder in ("flightsw", "telecommands", "docs", "tests", "deploy", "systemd", ".ci"):
        assert _files(distributions.source / folder) <= held
    top = {path.name for path in distributions.source.iterdir() if path.is_file()}
    assert top <= held


def test_the_wheel_holds_every_file_of_the_two_packages(distributions: Distributions) -> None:
    with ZipFile(distributions.wheel) as archive:
        held = set(archive.namelist())
    for package in ("flightsw", "telecommands"):
        assert _files(distributions.source / package) <= held


def test_both_commands_give_their_version(installed: Installed) -> None:
    for command in ("flightsw", "groundsim"):
        assert installed.run(command, "--version").startswith(f"{command} {flightsw.__version__}")


def test_the_help_of_both_commands_ends_with_pages_that_are_installed(installed: Installed) -> None:
    for command in ("flightsw", "groundsim"):
        printed = installed.run(command, "--help").splitlines()[-1]
        folder = Path(printed.removeprefix("Documentation (docs/): "))
        assert folder.is_relative_to(installed.folder)
        for page in ("index.md", "interface.md", "scenarios/day_in_short.yaml"):
            assert (folder / page).exists()


def test_a_module_lacks_nothing_but_extras(installed: Installed) -> None:
    absent: dict[str, str] = json.loads(installed.run("python", "-I", "-c", _IMPORT_ALL))
    assert absent["flightsw.engines.torch.engine"] == "torch"
    assert {name for name in absent.values() if name.partition(".")[0] not in _EXTRAS} == set()


def test_a_scene_is_processed(installed: Installed, simulated: Simulated) -> None:
    printed = installed.run("flightsw", "process", simulated.scene, "-o", "products", "--json")
    assert json.loads(printed)["summary"]["valid_pixels"] > 0


def test_the_golden_tiles_pass(installed: Installed) -> None:
    assert "passed" in installed.run("flightsw", "selftest")


def test_a_telecommand_reaches_the_service(installed: Installed, small_package: Path) -> None:
    (installed.folder / "flight.toml").write_text(_SETTINGS.format(model=small_package))
    settings = ("--settings", "flight.toml")
    ground = ("--keys", "ground")
    operator = ("ground/operator.key", "--telecommand-key", "ground/operator.telecommand_key")
    installed.run("flightsw", "keys", "generate", *settings)
    installed.run("groundsim", "keys", "generate", "operator", *ground)
    installed.run("flightsw", "keys", "authorise", *operator, *settings)
    installed.run("groundsim", "keys", "trust", "state/keys/service.key", *ground)
    with installed.start("flightsw", "serve", *settings) as service:
        try:
            assert service.stdout is not None
            assert any("SERVICE_STARTED" in line for line in service.stdout)
            endpoints = ("--endpoints", "state/endpoints.json", *ground)
            assert "COMPLETED" in installed.run("groundsim", "send", "PING", *endpoints)
            installed.run("groundsim", "send", "SHUT_DOWN", "--yes", *endpoints)
            assert service.wait(timeout=60) == 0
        finally:
            service.kill()
