"""``groundsim send`` against a service on real sockets."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from telecommands.groundsim.cli import main
from telecommands.keys import (
    generate_curve_pair,
    read_curve_pair,
    read_telecommand_key,
)
from tests.unit.telecommands.flight_stand_in import FlightStandIn

Capture = pytest.CaptureFixture[str]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_every_stage_is_shown_and_completed_is_0(options: list[str], capsys: Capture) -> None:
    assert main(["send", "PROCESS_SCENE", "scene=A.SAFE", "priority=7", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    stages = [line.split()[1] for line in lines if line.startswith("2")]
    assert stages == ["ACCEPTED", "STARTED", "PROGRESS", "COMPLETED"]
    assert lines[0].endswith("job=job-1")
    assert lines[2].endswith("512 of 1024")
    assert any(line.split() == ["contaminated", "25", "%"] for line in lines)


def test_a_terminal_shows_the_same_stages(
    options: list[str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(["send", "PROCESS_SCENE", "scene=A.SAFE", *options]) == 0
    out = capsys.readouterr().out
    for shown in ("ACCEPTED", "STARTED", "50 %", "COMPLETED", "product-report.json"):
        assert shown in out


def test_json_is_one_object_a_stage(options: list[str], capsys: Capture) -> None:
    assert main(["send", "PING", "--json", "--id", "ping-1", *options]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["stage"] for record in records] == ["ACCEPTED", "COMPLETED"]
    assert {record["id"] for record in records} == {"ping-1"}
    assert records[1]["data"]["mode"] == "OPERATIONAL"


def test_failure_is_1_and_says_why(options: list[str], capsys: Capture) -> None:
    assert main(["send", "PROCESS_SCENE", "scene=corrupt", *options]) == 1
    assert "FAILED      CORRUPT_IMAGE  B03 ends early" in capsys.readouterr().out


def test_rejection_is_3_and_gives_cause_and_cure(options: list[str], capsys: Capture) -> None:
    assert main(["send", "PROCESS_SCENE", "scene=../a", *options]) == 3
    out = capsys.readouterr().out
    assert "OUTSIDE_SCENE_ROOT  the scene is outside the scene root. Give a scene below it" in out


def test_no_wait_ends_with_the_first_answer(options: list[str], capsys: Capture) -> None:
    assert main(["send", "PROCESS_SCENE", "scene=corrupt", "--no-wait", *options]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_telecommand_that_is_not_closed_in_time_is_4(options: list[str], capsys: Capture) -> None:
    assert main(["send", "SELF_TEST", "--timeout", "0.2", *options]) == 4
    assert "did not close SELF_TEST after ACCEPTED within 0.2 s" in capsys.readouterr().err


def test_nobody_there_is_4(keys: Path, capsys: Capture) -> None:
    nobody = ["--keys", str(keys), "--ports", "1,2,3", "--no-curve", "--timeout", "0.2"]
    assert main(["send", "PING", *nobody]) == 4
    assert "nothing listens there" in capsys.readouterr().err


def test_wrong_usage_is_2_and_sends_nothing(
    flight: FlightStandIn, options: list[str], capsys: Capture
) -> None:
    assert main(["send", *options]) == 2
    assert main(["send", "PINK", *options]) == 2
    assert main(["send", "PROCESS_SCENE", *options]) == 2
    assert main(["send", "PING", "--endpoints", "absent.json"]) == 2
    assert main(["send", "PING", "--ports", "1,2"]) == 2
    assert "the nearest are PING" in capsys.readouterr().err
    assert not flight.ran


@pytest.mark.parametrize(
    "words",
    [
        ["SET_MODE", "mode=SAFE"],
        ["SET_PARAMETER", "name=fdir.hot_c", "value=84.0"],
        ["SCHEDULE", "at=+1h", 'telecommand={"name":"SET_MODE","args":{"mode":"SAFE"}}'],
    ],
)
def test_hazardous_telecommands_want_a_confirmation_and_are_armed(
    words: list[str],
    flight: FlightStandIn,
    options: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))  # no terminal
    assert main(["send", *words, *options]) == 2
    assert "Give --yes" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert main(["send", *words, *options]) == 2
    assert not flight.ran
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert main(["send", *words, *options]) == 0
    assert main(["send", *words, "--yes", *options]) == 0
    assert [body.name for body in flight.ran] == 2 * ["ARM", words[0]]


def test_help_needs_no_service(capsys: Capture) -> None:
    assert main(["send", "--list"]) == 0
    assert "PROCESS_SCENE" in capsys.readouterr().out
    assert main(["send", "OPEN_CONTACT", "--help-arguments"]) == 0
    assert "[byte]; required" in capsys.readouterr().out


def test_keys_of_both_sides_make_an_encrypted_link(tmp_path: Path, capsys: Capture) -> None:
    ours, flights = tmp_path / "ours", tmp_path / "flights"
    generate_curve_pair(flights, "service", "sat-a")
    assert main(["keys", "generate", "alice", "--keys", str(ours)]) == 0
    hint = capsys.readouterr().out
    assert f"flightsw keys authorise {ours / 'alice.key'}" in hint
    assert str(ours / "alice.telecommand_key") in hint
    assert main(["keys", "trust", str(flights / "service.key"), "--keys", str(ours)]) == 0
    with FlightStandIn(
        read_telecommand_key(ours / "alice.telecommand_key"),
        pair=read_curve_pair(flights / "service.key_secret"),
        authorised=[read_curve_pair(ours / "alice.key_secret").public],
    ) as service:
        options = ["--keys", str(ours), "--endpoints", str(service.endpoints(tmp_path))]
        assert main(["send", "PING", "--as", "alice", *options]) == 0
        assert main(["send", "PING", "--as", "bob", *options]) == 1
    assert "bob.key_secret" in capsys.readouterr().err
