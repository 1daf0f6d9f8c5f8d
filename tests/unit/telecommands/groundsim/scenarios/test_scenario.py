"""Scenario files: what is written wrong is named before anything is sent; what is right is run."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from telecommands.dictionary import Stage
from telecommands.ground.errors import UsageError
from telecommands.groundsim.cli import main
from telecommands.groundsim.scenarios.conditions import fill, holds, unmet, value_at
from telecommands.groundsim.scenarios.file import read_scenario
from telecommands.groundsim.scenarios.scenario import Send, WaitFor
from tests.unit.telecommands.flight_stand_in import REPORT, FlightStandIn, event

Capture = pytest.CaptureFixture[str]

EXAMPLES = sorted((Path(__file__).parents[5] / "docs" / "scenarios").glob("*.yaml"))


def written(folder: Path, steps: str, given: str = "{}") -> Path:
    path = folder / "scenario.yaml"
    path.write_text(f"scenario: trial\ngiven: {given}\nsteps:\n{steps}\n")
    return path


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ("  - send: PING\n  - sendd: PING", "step 2 (line 5)"),
        ("  - send: PING\n    fetch: out", "has send and fetch. Give one of"),
        ("  - send: PING\n    expects: COMPLETED", "unknown field `expects`"),
        ("  - send: PING\n    expect: DONE", "$.expect"),
        ("  - send: PING\n    within: -1", "$.within"),
        ("  - send: PING\n    within: 1\n    within: 2", "the key within occurs twice"),
        ("  - send: PING\n    at: soon", "is not a duration"),
        ("  - send: PING\n    at: -5", "at must not be negative"),
        ("  - send: PING\n    args: {a: '${job}'}", "uses the undefined name job"),
        ("  - wait_for: house", "$.wait_for"),
        ("  - wait_for: hk\n    where: {mod: SAFE}", "hk has no field 'mod'; its fields are mode"),
        ("  - wait_for: hk\n    where: {jobs.runing: 1}", "hk jobs has no field 'runing'"),
        ("  - wait_for: hk\n    where: {mode.x: 1}", "it has no fields"),
        ("  - wait_for: hk\n    where: {uptime_s: {more: 1}}", "unknown field `more`"),
        ("  - wait_for: hk\n    where: {uptime_s: {at_least: long}}", "$.at_least"),
        ("  - contact: {bytes: 1}", "missing required field `seconds`"),
        ("  - contact: {bytes: 1, seconds: 1}\n    at_least: 1", "at_least needs fetch_to"),
        ("  - send_raw: ['?']", "send_raw is not base64"),
        ("  - send_raw: []", "$.send_raw"),
        ("  - [send, PING]", "Expected `object`"),
        ("  []", "length >= 1"),
        ("  - send: [PING", "is not YAML"),
        ("  - send: !!python/name:os.system x", "is not YAML"),
    ],
)
def test_what_is_written_wrong_is_named(steps: str, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, steps)
    with pytest.raises(UsageError) as error:
        read_scenario(path, {})
    assert said in str(error.value)
    assert str(path) in str(error.value)


def test_a_missing_file_and_an_unknown_name_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_scenario(tmp_path / "absent.yaml", {})
    with pytest.raises(UsageError, match=r"does not define scene.*given: other"):
        read_scenario(written(tmp_path, "  - at: 1", "{other: 1}"), {"scene": "A"})


def test_a_file_becomes_steps_with_times_left_as_text(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "  - send: SCHEDULE\n    at: +1.5s\n    args: {at: 2026-05-04T10:00:00Z}\n"
        "    expect: ACCEPTED\n  - wait_for: hk\n    where: {jobs.queued: {at_most: 0}}",
    )
    send, wait = read_scenario(path, {}).steps
    assert isinstance(send, Send)
    assert send.args == {"at": "2026-05-04T10:00:00Z"}
    assert send.not_before_s == 1.5
    assert send.expect is Stage.ACCEPTED
    assert isinstance(wait, WaitFor)
    assert wait.since == "action"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_are_well_formed(path: Path) -> None:
    assert len(read_scenario(path, {}).steps) > 5


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 2


FIELDS = {"mode": "SAFE", "share": 0.25, "data": {"products": [{"kind": "mask"}]}, "none": None}


@pytest.mark.parametrize(
    ("where", "held"),
    [
        ({"mode": "SAFE", "share": 0.25}, True),
        ({"mode": "SAFE", "share": 0.3}, False),
        ({"share": {"at_least": 0.25, "at_most": 0.25}}, True),
        ({"share": {"at_least": 0.26}}, False),
        ({"share": {"between": [0.2, 0.3]}}, True),
        ({"share": {"between": [0.3, 0.4]}}, False),
        ({"mode": {"one_of": ["SAFE", "BOOT"]}}, True),
        ({"mode": {"is_not": "SAFE"}}, False),
        ({"mode": {"contains": "AF"}}, True),
        ({"data.products.0.kind": "mask"}, True),
        ({"data.products.1.kind": "mask"}, False),
        ({"data.none": {"is_not": 1}}, False),
        ({"none": {"at_least": 0}}, False),
        ({"mode": {"at_least": 0}}, False),
        ({}, True),
    ],
)
def test_conditions_hold_or_not(where: dict[str, object], held: bool) -> None:
    assert holds(where, FIELDS) is held
    assert bool(unmet(where, FIELDS)) is not held


def test_names_keep_their_type_where_they_stand_alone() -> None:
    names = {"n": 5, "job": "job-1"}
    filled = fill({"a": "${n}", "b": ["x${n}", {"c": "${job}"}], "d": 1}, names)
    assert filled == {"a": 5, "b": ["x5", {"c": "job-1"}], "d": 1}
    with pytest.raises(KeyError):
        value_at(FIELDS, "data.absent")


def run(path: Path, options: list[str], tmp_path: Path, *more: str) -> int:
    return main(["run", str(path), "--folder", str(tmp_path), *more, *options])


def test_a_scenario_that_holds_is_0_and_reports_each_step(
    flight: FlightStandIn, options: list[str], tmp_path: Path, capsys: Capture
) -> None:
    header = base64.b64encode(b"\x93").decode()
    path = written(
        tmp_path,
        f"""
  - wait_for: hk
    where: {{mode: OPERATIONAL}}
  - send: PROCESS_SCENE
    args: {{scene: "${{scene}}"}}
    keep: {{job: data.job, product: data.products.0}}
  - wait_for: evt
    where: {{event: JOB_COMPLETED, message: "${{job}}"}}
    within: 5
  - contact: {{bytes: 1_000_000, seconds: 20}}
    fetch_to: "${{job}}"
    at_least: 1
  - send: HOLD_PRODUCT
    args: {{product: "${{product}}"}}
  - send: PROCESS_SCENE
    args: {{scene: ../b}}
    expect: REJECTED
    code: OUTSIDE_SCENE_ROOT
  - send: PROCESS_SCENE
    args: {{scene: corrupt}}
    expect: FAILED
    code: CORRUPT_IMAGE
  - send: SELF_TEST
    expect: ACCEPTED
  - send: NO_SUCH
    expect: REJECTED
    code: UNKNOWN_TELECOMMAND
  - send_raw: [{header}, {header}]
    code: MALFORMED
  - at: 0.01
""",
        "{scene: none}",
    )
    assert run(path, options, tmp_path, "--set", "scene=A.SAFE") == 0
    out = capsys.readouterr().out.splitlines()
    assert [line[:6] for line in out[:-1]] == ["OK    "] * 11
    assert out[-1] == "trial: 11 of 11 steps passed"
    assert flight.ran[0].args == {"scene": "A.SAFE"}
    assert (tmp_path / "job-1" / "sat-a" / "job-1" / "report.json").read_bytes() == REPORT


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ("send: PING\n    expect: REJECTED", "COMPLETED, not REJECTED"),
        ("send: NO_SUCH", "REJECTED UNKNOWN_TELECOMMAND"),
        ("send: PROCESS_SCENE\n    args: {scene: ../b}\n    expect: REJECTED\n    code: USAGE",
         "OUTSIDE_SCENE_ROOT: the scene is outside the scene root, not USAGE"),
        ("send: SELF_TEST\n    within: 0.2", "did not close SELF_TEST after ACCEPTED"),
        ("send: PING\n    keep: {job: data.job}", "data.job, to be kept as job, is not in"),
        ("wait_for: hk\n    where: {mode: SAFE}\n    within: 0.2",
         "none of 1 hk packets meets the conditions; in the last one mode is 'OPERATIONAL'"),
        ("wait_for: sci.progress\n    within: 0.1", "no sci.progress packet was received"),
        ("wait_for: hk\n    since: now\n    within: 0.1", "no hk packet was received"),
        ("fetch: out\n    within: 0.1", "0 products, 0 bytes, then NO_CONTACT"),
        ("contact: {bytes: 0, seconds: 1}", "REJECTED BAD_ARGUMENTS"),
    ],
)  # fmt: skip
def test_a_step_that_does_not_hold_is_1_and_says_why(
    step: str, why: str, options: list[str], tmp_path: Path, capsys: Capture
) -> None:
    path = written(tmp_path, f"  - {step}\n  - send: PING")
    assert run(path, options, tmp_path) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("FAILED   1")
    assert why in out[0]
    assert out[-1] == "trial: 0 of 2 steps passed, 1 not run"


def test_a_scenario_may_continue_after_a_failed_step(
    options: list[str], tmp_path: Path, capsys: Capture
) -> None:
    path = written(tmp_path, "  - send: NO_SUCH\n  - send: PING")
    assert run(path, options, tmp_path, "--go-on", "--json") == 1
    results = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [result["held"] for result in results] == [False, True]


def test_what_came_during_an_action_counts_and_what_came_before_the_scenario_does_not(
    flight: FlightStandIn, options: list[str], tmp_path: Path, capsys: Capture
) -> None:
    flight.telemetry.publish("evt", event("JOB_COMPLETED", message="of yesterday"))
    path = written(
        tmp_path,
        """
  - wait_for: evt
    since: start
    within: 0.2
  - send: PROCESS_SCENE
    args: {scene: A}
  - wait_for: evt
    where: {event: JOB_COMPLETED}
  - send: PING
  - wait_for: evt
    within: 0.2
  - wait_for: evt
    since: start
    keep: {message: message}
""",
    )
    assert run(path, options, tmp_path, "--go-on") == 1
    outcomes = [line.split()[0] for line in capsys.readouterr().out.splitlines()[:-1]]
    assert outcomes == ["FAILED", "OK", "OK", "OK", "FAILED", "OK"]


def test_a_service_that_sends_no_telemetry_is_4(
    keys: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("telecommands.groundsim.scenarios.recorder._FIRST_S", 0.2)
    path = written(tmp_path, "  - send: PING")
    nobody = ["--keys", str(keys), "--ports", "1,2,3", "--no-curve"]
    assert run(path, nobody, tmp_path) == 4
    assert "no housekeeping within 0.2 s" in capsys.readouterr().err
