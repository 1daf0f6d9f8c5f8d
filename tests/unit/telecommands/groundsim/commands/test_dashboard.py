"""``groundsim dashboard``: who gets the address with the token."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from telecommands.dashboard.address import LIFETIME_S, issuer_of, token_of
from telecommands.dashboard.archive.reader import ArchiveReader
from telecommands.dashboard.archive.writer import Archive
from telecommands.dashboard.points.catalogue import PointCatalogue
from telecommands.groundsim.cli import main
from telecommands.keys import read_telecommand_key
from tests.unit.telecommands.dashboard.running import page_and_library

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """As a bridge leaves it."""
    path = tmp_path / "archive.sqlite"
    Archive(path, PointCatalogue()).close()
    return path


def _secret(keys: Path, archive: Path, expires: int, port: int = 8090) -> str:
    with ArchiveReader(archive) as reader:
        bridge = reader.bridge()
    key = read_telecommand_key(keys / "operator.telecommand_key")
    return token_of(key, bridge, port, expires).secret


def _address(keys: Path, archive: Path, *options: str) -> int:
    where = ("--keys", str(keys), "--archive", str(archive))
    return main(["dashboard", "--address", "--no-curve", *where, *options])


def test_a_holder_of_the_key_gets_the_address_with_a_token_that_expires(
    keys: Path, archive: Path, capsys: Capture
) -> None:
    for port in (8090, 9000):
        before = int(time.time())
        assert _address(keys, archive, "--port", str(port)) == 0
        base, _, token = capsys.readouterr().out.strip().partition("#token=")
        expires, _, secret = token.partition(".")
        assert base == f"http://127.0.0.1:{port}/"
        assert before + LIFETIME_S <= int(expires) <= time.time() + LIFETIME_S
        assert secret == _secret(keys, archive, int(expires), port)
    assert _address(keys, archive, "--port", "9000", "--as", "somebody") == 0
    assert capsys.readouterr().out == "http://127.0.0.1:9000/\n"


def test_with_several_units_a_token_needs_the_keys_and_archives_of_all(
    keys: Path, tmp_path: Path, capsys: Capture
) -> None:
    for name in ("common-sat-a", "b"):
        Archive(tmp_path / f"{name}.sqlite", PointCatalogue()).close()
    stations = tmp_path / "stations.toml"
    stations.write_text(f'[sat-a]\n[sat-b]\nkeys = "{keys}"\narchive = "b.sqlite"\n')
    options = ("--stations", str(stations))
    assert _address(keys, tmp_path / "common.sqlite", *options) == 0
    _, _, token = capsys.readouterr().out.strip().partition("#token=")
    expires, _, secret = token.partition(".")
    key = read_telecommand_key(keys / "operator.telecommand_key")
    units = []
    for name in ("common-sat-a", "b"):
        with ArchiveReader(tmp_path / f"{name}.sqlite") as reader:
            units.append((key, reader.bridge()))
    issuer = issuer_of(units, 8090)
    assert issuer.token(int(expires)) == (int(expires), secret)
    of_one = token_of(key, issuer.bridge, 8090, int(expires))
    assert of_one.secret != secret  # it takes both keys
    (tmp_path / "b.sqlite").unlink()
    assert _address(keys, tmp_path / "common.sqlite", *options) != 0


def test_an_archive_without_a_bridge_has_no_token(
    keys: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert _address(keys, tmp_path / "absent.sqlite") != 0
    assert "does not exist" in capsys.readouterr().err


def test_a_port_that_is_not_known_yet_has_no_address(
    keys: Path, archive: Path, capsys: Capture
) -> None:
    assert _address(keys, archive, "--port", "0") == 2
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
    assert (re.search(r"/#token=\d+\.[0-9a-f]{64} ", greeting) is not None) is on_terminal
    assert ("--address" in greeting) is not on_terminal
