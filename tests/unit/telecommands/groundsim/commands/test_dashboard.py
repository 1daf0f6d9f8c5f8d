"""``groundsim dashboard``: who gets the address with the token."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from telecommands.dashboard.address import token_of
from telecommands.groundsim.cli import main
from telecommands.keys import generate_telecommand_key, read_telecommand_key
from tests.unit.telecommands.dashboard.running import page_and_library

Capture = pytest.CaptureFixture[str]


def _token(keys: Path) -> str:
    return token_of(read_telecommand_key(keys / "operator.telecommand_key"))


def _address(keys: Path, *options: str) -> int:
    return main(["dashboard", "--address", "--no-curve", "--keys", str(keys), *options])


def test_a_holder_of_the_key_gets_the_address_with_the_token(keys: Path, capsys: Capture) -> None:
    assert _address(keys) == 0
    assert capsys.readouterr().out == f"http://127.0.0.1:8090/#token={_token(keys)}\n"
    assert _address(keys, "--port", "9000", "--as", "somebody") == 0
    assert capsys.readouterr().out == "http://127.0.0.1:9000/\n"


def test_another_key_has_another_token(keys: Path, capsys: Capture) -> None:
    assert _address(keys) == 0
    before = capsys.readouterr().out
    (keys / "operator.telecommand_key").unlink()
    generate_telecommand_key(keys, "operator")
    assert _address(keys) == 0
    assert capsys.readouterr().out not in ("", before)


def test_a_port_that_is_not_known_yet_has_no_address(keys: Path, capsys: Capture) -> None:
    assert _address(keys, "--port", "0") == 2
    assert "Give the port" in capsys.readouterr().err


@pytest.mark.parametrize("on_terminal", [True, False])
def test_the_token_is_printed_on_a_terminal_and_not_in_a_log(
    keys: Path, tmp_path: Path, on_terminal: bool
) -> None:
    arguments = [
        *("dashboard", "--port", "0", "--no-curve", "--keys", str(keys)),
        *("--archive", str(tmp_path / "archive.sqlite"), "--received", str(tmp_path / "received")),
        *("--openmct", str(page_and_library(tmp_path)["openmct"])),
    ]
    read_end, write_end = pty.openpty() if on_terminal else os.pipe()
    with (
        os.fdopen(read_end) as output,
        subprocess.Popen(
            [sys.executable, "-m", "telecommands.groundsim", *arguments], stdout=write_end
        ) as process,
    ):
        os.close(write_end)
        greeting = output.readline()
        process.kill()
    assert (f"/#token={_token(keys)} " in greeting) is on_terminal
    assert ("--address" in greeting) is not on_terminal
