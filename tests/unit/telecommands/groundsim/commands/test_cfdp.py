from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from telecommands.groundsim.cli import main


@pytest.fixture
def station(tmp_path: Path) -> list[str]:
    endpoints = tmp_path / "endpoints.json"
    links = dict.fromkeys(("telecommand", "telemetry", "downlink"), "tcp://127.0.0.1:9")
    endpoints.write_text(json.dumps(links))
    return ["--endpoints", str(endpoints), "--no-curve"]


@pytest.mark.parametrize(
    "options",
    [
        ["--pdu-bytes", "10"],
        ["--pdu-bytes", "70000"],
        ["--peer", "nowhere"],
        ["--listen", "127.0.0.1:99999"],
        ["--checksum", "md5"],
        ["--entity", "70000"],
        ["--rate", "0"],
        ["--silence", "nan"],
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_opened(
    options: list[str], station: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cfdp", str(tmp_path / "received"), *options, *station]) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in options)
    assert not (tmp_path / "received").exists()


def test_an_address_in_use_is_named_with_its_cure(
    station: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind, options in ((socket.SOCK_DGRAM, []), (socket.SOCK_STREAM, ["--tcp"])):
        with socket.socket(type=kind) as taken:
            taken.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            words = ["cfdp", str(tmp_path / "received"), "--listen", address, *options]
            assert main([*words, *station]) == 1
        said = f"groundsim: {address} cannot be used for CFDP (Address already in use). "
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_well(number: int, station: list[str], tmp_path: Path) -> None:
    words = ["cfdp", str(tmp_path / "received"), "--listen", "127.0.0.1:0", "--only", "up"]
    with subprocess.Popen(
        [sys.executable, "-m", "telecommands.groundsim", *words, *station],
        stdout=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stdout is not None
        assert command.stdout.readline().startswith("cfdp  entity")
        command.send_signal(number)
        assert command.wait(60) == 0
