"""The programs on docs/interface.md, run as they stand there against the real daemon."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.documentation.interface_page import PAGE
from deploy.rig.flight_unit import FlightUnit
from deploy.rig.forked import flight_unit


@pytest.fixture(scope="module")
def unit(tmp_path_factory: pytest.TempPathFactory, small_package: Path) -> Iterator[FlightUnit]:
    with flight_unit(tmp_path_factory.mktemp("unit"), package=small_package) as unit:
        unit.start()
        yield unit


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The blocks of the page as files: client and subscriber."""
    folder = tmp_path_factory.mktemp("programs")
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    paths = (folder / "client.py", folder / "subscriber.py")
    for path, block in zip(paths, blocks, strict=True):
        path.write_text(block)
    return paths


def _send(unit: FlightUnit, client: Path, *words: str) -> tuple[int, list[dict[str, Any]]]:
    link = (unit.endpoints["telecommand"], str(unit.ground), "operator")
    command = [sys.executable, "-I", str(client), *link, *words]  # -I: without this project
    ended = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, timeout=60)
    return ended.returncode, [json.loads(line) for line in ended.stdout.splitlines()]


def test_the_client_on_the_page_sends_telecommands(
    unit: FlightUnit, programs: tuple[Path, Path]
) -> None:
    status, stages = _send(unit, programs[0], "PING")
    assert [one["stage"] for one in stages] == ["ACCEPTED", "STARTED", "COMPLETED"]
    assert status == 0
    status, stages = _send(unit, programs[0], "LIST_JOBS", '{"limit": 5}')
    assert stages[-1]["data"]["jobs"] == []
    status, stages = _send(unit, programs[0], "PROCESS_SCENE", '{"scene": "absent"}')
    assert stages[-1]["stage"] == "REJECTED"
    assert status == 1


def test_the_client_on_the_page_continues_at_the_number_that_the_service_gives(
    unit: FlightUnit, programs: tuple[Path, Path]
) -> None:
    _send(unit, programs[0], "PING")
    (number,) = unit.ground.glob("*.last_number")
    number.write_text("0")
    status, stages = _send(unit, programs[0], "PING")
    assert status == 0
    assert stages[-1]["stage"] == "COMPLETED"
    assert int(number.read_text()) > 1


def test_the_subscriber_on_the_page_prints_the_packets_of_its_topics(
    unit: FlightUnit, programs: tuple[Path, Path]
) -> None:
    link = (unit.endpoints["telemetry"], str(unit.ground), "operator")
    command = [sys.executable, "-I", str(programs[1]), *link, "hk", "e"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as subscriber:
        assert subscriber.stdout is not None
        guard = threading.Timer(60.0, subscriber.kill)
        guard.start()
        packets = [json.loads(subscriber.stdout.readline()) for _ in range(2)]
        guard.cancel()
        subscriber.kill()
    assert {one["topic"] for one in packets} == {"evt", "hk"}
    assert all({"boot", "seq", "t", "kind", "body"} <= set(one) for one in packets)
