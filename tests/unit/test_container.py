"""The image and the compose file: what they copy and run exists, and nobody is root."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from flightsw import cli as flightsw_cli
from telecommands.groundsim import cli as groundsim_cli

_ROOT = Path(__file__).resolve().parents[2]
_FOLDER = _ROOT / "deploy" / "container"
_PARSERS = {"flightsw": flightsw_cli._parser, "groundsim": groundsim_cli._parser}


def _instructions() -> list[tuple[str, str]]:
    """Name and rest of every instruction of the Containerfile."""
    text = (_FOLDER / "Containerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def _last_stage() -> list[tuple[str, str]]:
    found = _instructions()
    start = max(index for index, (name, _) in enumerate(found) if name == "FROM")
    return found[start:]


def _compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((_FOLDER / "compose.yaml").read_text("utf-8"))
    return loaded


def _commands() -> Iterator[list[str]]:
    """Every command of one of the two programs that the image or the compose file runs."""
    for name, rest in _instructions():
        if name in {"CMD", "HEALTHCHECK"}:
            yield json.loads(rest[rest.index("[") :])
    for service in _compose()["services"].values():
        yield service["command"]


def test_every_file_that_is_copied_is_in_the_checkout_and_not_ignored() -> None:
    ignored = (_ROOT / ".dockerignore").read_text("utf-8").splitlines()
    kept = {line[1:] for line in ignored if line.startswith("!")}
    for name, rest in _instructions():
        words = [word for word in shlex.split(rest) if not word.startswith("--chmod")]
        if name == "COPY" and not words[0].startswith("--from="):
            for source in words[:-1]:
                assert (_ROOT / source).exists(), source
                assert source in kept or str(Path(source).parent) in kept, source


def test_the_image_runs_without_root_and_checks_its_health() -> None:
    stage = _last_stage()
    assert [rest for name, rest in stage if name == "USER"] == ["10001"]
    assert [name for name, _ in stage if name == "HEALTHCHECK"]


def test_every_container_has_a_read_only_root_and_no_capabilities() -> None:
    for service in _compose()["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("command", list(_commands()), ids=" ".join)
def test_every_command_exists_with_its_options(command: list[str]) -> None:
    if command[0] in _PARSERS:
        _PARSERS[command[0]]().parse_args(command[1:])
    else:
        assert os.access(_FOLDER / command[0], os.X_OK)


def test_every_volume_that_is_mounted_is_declared() -> None:
    compose = _compose()
    mounts = [mount for one in compose["services"].values() for mount in one["volumes"]]
    named = {mount.partition(":")[0] for mount in mounts if not mount.startswith("$")}
    assert named == set(compose["volumes"])


def test_keys_are_made_once_and_the_health_check_may_only_listen(tmp_path: Path) -> None:
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "FLIGHTSW_STATE": str(tmp_path / "state"),
        "FLIGHTSW_GROUND": str(tmp_path / "ground"),
    }
    made: list[dict[str, bytes]] = []
    for _ in range(2):
        subprocess.run(
            [_FOLDER / "make-keys"], env=environ, check=True, capture_output=True, timeout=300
        )
        files = (path for path in tmp_path.rglob("*") if path.is_file())
        made.append({str(path.relative_to(tmp_path)): path.read_bytes() for path in files})
    assert made[0] == made[1]
    assert {name for name in made[0] if name.endswith(".telecommand_key")} == {
        "ground/keys/operator.telecommand_key",
        "state/keys/telecommand/operator.telecommand_key",
    }
    assert "state/keys/authorised/health.key" in made[0]
