from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from telecommands.auth import TelecommandKey
from telecommands.dictionary import TelecommandBody
from telecommands.groundsim.cli import main
from telecommands.keys import generate_telecommand_key, read_telecommand_key
from tests.unit.telecommands.ground.test_uplink import Link
from tests.unit.telecommands.simulated_links import AnsweringSocket, SimulatedCommanding


class Board(SimulatedCommanding):
    """Answers telecommands of the uplink with the handlers of the service."""

    def __init__(self, key: TelecommandKey, inbox: Path) -> None:
        super().__init__([key])
        self._link = Link(inbox)

    def _run(self, body: TelecommandBody) -> None:
        closed = self._link.execute(body.name, body.args, 1)
        self._known[body.id] = [type(closed)(**{**_fields(closed), "id": body.id})]


def _fields(record: object) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__struct_fields__}  # type: ignore[attr-defined]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny-1.0"
    folder.mkdir()
    (folder / "SHA256SUMS").write_text("list\n")
    (folder / "network.npz").write_bytes(bytes(100_000))
    return folder


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    generate_telecommand_key(folder, "operator")
    return folder


def test_a_package_goes_up_and_what_stages_it_is_shown(
    tmp_path: Path, package: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = read_telecommand_key(keys / "operator.telecommand_key")
    digest = hashlib.sha256(b"list\n").hexdigest()
    with AnsweringSocket(Board(key, tmp_path / "inbox")) as service:
        endpoints = tmp_path / "endpoints.json"
        links = dict.fromkeys(("telecommand", "telemetry", "downlink"), service.endpoint)
        endpoints.write_text(json.dumps({**links, "unit": "sat-a"}))
        words = ["uplink", str(package), "--keys", str(keys), "--endpoints", str(endpoints)]
        words.append("--no-curve")
        assert main([*words, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {
            "package": "tiny-1.0",
            "size": 112_640,
            "sha256": digest,
            "sent": True,
        }
        assert main(words) == 0
    shown = capsys.readouterr()
    assert "was there already" in shown.out
    assert f"STAGE_MODEL package=tiny-1.0 sha256={digest}" in shown.err
    assert (tmp_path / "inbox" / "tiny-1.0" / "network.npz").stat().st_size == 100_000


def test_a_service_without_uplinks_is_named(
    tmp_path: Path, package: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = read_telecommand_key(keys / "operator.telecommand_key")
    with AnsweringSocket(SimulatedCommanding([key])) as service:
        endpoints = tmp_path / "endpoints.json"
        links = dict.fromkeys(("telecommand", "telemetry", "downlink"), service.endpoint)
        endpoints.write_text(json.dumps({**links, "unit": "sat-a"}))
        words = ["uplink", str(package), "--keys", str(keys), "--endpoints", str(endpoints)]
        assert main([*words, "--no-curve"]) == 1
    assert "got an answer that is not about an uplink" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--chunk-bytes", "0"], ["--name", "../up"], []])
def test_wrong_usage_is_refused(
    options: list[str], package: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = str(package if options else package / "absent")
    assert (
        main(["uplink", named, "--unit", "sat-a", "--keys", str(keys), "--no-curve", *options]) == 2
    )
    assert capsys.readouterr().err
