"""``groundsim wait`` against a service on real sockets."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from telecommands.dictionary import Mode
from telecommands.groundsim.cli import main
from telecommands.groundsim.commands import wait
from tests.unit.telecommands.flight_stand_in import FlightStandIn

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _polls_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wait, "_POLL_S", 0.01)


def test_it_ends_when_the_service_is_operational(
    flight: FlightStandIn, options: list[str], capsys: Capture
) -> None:
    flight.modes = [Mode.BOOT, Mode.BOOT, Mode.STANDBY, Mode.OPERATIONAL]
    assert main(["wait", "--timeout", "60", *options]) == 0
    assert capsys.readouterr().out.split() == ["BOOT", "STANDBY", "OPERATIONAL"]


def test_it_waits_for_another_mode_if_asked(flight: FlightStandIn, options: list[str]) -> None:
    flight.modes = [Mode.OPERATIONAL, Mode.SAFE]
    assert main(["wait", "--mode", "SAFE", "--timeout", "60", *options]) == 0


@pytest.mark.parametrize(
    ("mode", "cure"), [(Mode.BOOT, "Wait longer"), (Mode.SAFE, "then send SET_MODE")]
)
def test_the_deadline_ends_it_with_the_mode_and_what_helps(
    flight: FlightStandIn, options: list[str], capsys: Capture, mode: Mode, cure: str
) -> None:
    flight.modes = [mode]
    assert main(["wait", "--timeout", "0.3", *options]) == 1
    error = capsys.readouterr().err
    assert f"the service is in {mode.value}, not OPERATIONAL, after 0.3 s" in error
    assert cure in error


def test_a_rejection_ends_it(flight: FlightStandIn, options: list[str], capsys: Capture) -> None:
    flight.rejects = True
    assert main(["wait", "--timeout", "60", *options]) == 3
    assert "REJECTED" in capsys.readouterr().out


def test_endpoints_that_the_service_has_not_written_yet_are_waited_for(
    flight: FlightStandIn, keys: Path, tmp_path: Path
) -> None:
    later = tmp_path / "later"
    later.mkdir()
    path = later / "endpoints.json"
    written = threading.Timer(0.1, lambda: flight.endpoints(tmp_path).replace(path))
    written.start()
    options = ["--keys", str(keys), "--endpoints", str(path), "--no-curve"]
    assert main(["wait", "--timeout", "60", *options]) == 0
    written.join()


def test_without_a_service_it_ends_with_no_answer(
    keys: Path, unused_tcp_ports: tuple[int, int, int], capsys: Capture
) -> None:
    ports = ",".join(map(str, unused_tcp_ports))
    options = ["--keys", str(keys), "--ports", ports, "--no-curve"]
    assert main(["wait", "--timeout", "0.2", *options]) == 4
    assert "nothing listens" in capsys.readouterr().err


def test_absent_endpoints_are_named_at_the_deadline(
    keys: Path, tmp_path: Path, capsys: Capture
) -> None:
    options = ["--keys", str(keys), "--endpoints", str(tmp_path / "none.json"), "--no-curve"]
    assert main(["wait", "--timeout", "0.1", *options]) == 2
    assert "Start the service" in capsys.readouterr().err


@pytest.fixture
def unused_tcp_ports() -> tuple[int, int, int]:
    return (1, 2, 3)  # privileged, and nothing listens there
