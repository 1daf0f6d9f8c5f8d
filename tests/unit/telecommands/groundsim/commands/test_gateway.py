from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lxml import etree

from telecommands.dictionary import TELECOMMANDS
from telecommands.gateway.xtce import NAMESPACES
from telecommands.groundsim.cli import main
from tests.unit.telecommands.gateway.mission_control import SECONDS, MissionControl
from tests.unit.telecommands.gateway.samples import function


def test_it_serves_until_it_is_stopped(options: list[str], keys: Path) -> None:
    command = [sys.executable, "-m", "telecommands.groundsim", "gateway", *options]
    process = subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0", "--apid", "7"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    address, rest = process.stdout.readline().split(maxsplit=1)
    assert rest == "(APID 7, as operator)\n"
    host, _, port = address.rpartition(":")
    with MissionControl((host, int(port))) as control:
        raw = bytearray(function("PING"))
        control.send(bytes(raw))  # of the APID 100
        ((subtype, record),) = control.stages(bytes(raw))
        assert (subtype, record["cause"]) == (2, "the APID is 100, not 7")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert (keys / "operator.packet_counts").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("version", NAMESPACES)
def test_the_database_in_xtce_has_every_telecommand(tmp_path: Path, version: str) -> None:
    path = tmp_path / "new" / "flightsw.xml"
    assert main(["gateway", "--xtce", str(path), "--xtce-version", version]) == 0
    root = etree.parse(path).getroot()
    names = root.xpath("//x:MetaCommand/@name", namespaces={"x": NAMESPACES[version]})
    assert set(TELECOMMANDS) < set(names)
    assert [one.name for one in path.parent.iterdir()] == ["flightsw.xml"]


def test_the_target_for_cosmos_has_every_telecommand(tmp_path: Path) -> None:
    assert main(["gateway", "--cosmos", str(tmp_path), "--apid", "9"]) == 0
    definitions = tmp_path / "targets" / "FLIGHTSW" / "cmd_tlm"
    commands = (definitions / "cmd.txt").read_text()
    assert all(f"COMMAND FLIGHTSW {name} BIG_ENDIAN" in commands for name in TELECOMMANDS)
    assert "APPEND_ID_ITEM CCSDS_APID 11 UINT 9" in (definitions / "tlm.txt").read_text()
    assert "TARGET FLIGHTSW" in (tmp_path / "plugin.txt").read_text()


def test_a_database_that_cannot_be_put_on_the_disk_leaves_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert main(["gateway", "--xtce", str(tmp_path / "flightsw.xml")]) == 1
    assert "has no space left" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (["--apid", "2047"], "is not an APID from 1 to 2046"),
        (["--listen", "5710"], "is not an address and a port"),
        (["--xtce", "a", "--cosmos", "b"], "not allowed with argument"),
    ],
)
def test_wrong_options_are_named(
    options: list[str], cause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gateway", *options]) == 2
    assert cause in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["gateway", "--xtce", str(tmp_path / "file" / "x.xml")]) == 1
    assert "cannot be written" in capsys.readouterr().err
