"""``groundsim watch``, and the state behind its live table."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading

import msgspec
import pytest
from rich.console import Console

from telecommands.dictionary import (
    CloudFraction,
    Event,
    Housekeeping,
    JobCounts,
    Mode,
    Packet,
    Progress,
    Record,
    Severity,
    Stage,
    Verification,
)
from telecommands.ground.arguments import fields_of
from telecommands.ground.limits import Level, level_of
from telecommands.ground.telemetry_state import (
    EVENTS_KEPT,
    JOBS_KEPT,
    TELECOMMANDS_KEPT,
    TelemetryState,
)
from telecommands.groundsim.cli import main
from telecommands.groundsim.live_table import live_table
from tests.unit.telecommands.flight_stand_in import FlightStandIn, event, housekeeping

Capture = pytest.CaptureFixture[str]


def take(state: TelemetryState, topic: str, record: Record, now: float, boot: int = 1) -> None:
    packet = Packet(
        v=2, unit="sat-a", boot=boot, seq=1, t=10**18, kind="", body=msgspec.Raw(b"\xc0")
    )
    state.take(topic, packet, record, now)


def progress(job: str = "job-1", done: int = 512) -> Progress:
    return Progress(job=job, scene=f"{job}.SAFE", rows_done=done, rows=1024, elapsed_s=3.0)


def picture(state: TelemetryState, now: float, lost: dict[str, int] | None = None) -> str:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    with console.file:
        console.print(live_table(state, lost or {}, now))
    return console.export_text()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (160, 40)])
def test_all_fields_and_the_newest_lines_fit_a_terminal(width: int, height: int) -> None:
    state = TelemetryState()
    take(state, "hk", housekeeping(heartbeats={"commanding": 0.1, "downlink": 4.0}), 1.0)
    for number in range(20):
        take(state, "evt", event("JOB_STARTED", message=f"event {number} " + 90 * "x"), 1.0)
        verification = Verification(id=f"id-{number}", name="PING", stage=Stage.COMPLETED, at=1)
        take(state, "ver", verification, 1.0)
        take(state, "sci.progress", progress(f"job-{number}"), 1.0)
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(live_table(state, {"hk": 2}, 1.0, width, height))
    lines = console.export_text().splitlines()
    assert len(lines) <= height
    shown = "\n".join(lines)
    assert all(field in shown for field in Housekeeping.__struct_fields__)
    assert "event 19" in shown
    assert "id-19" in shown
    assert "downlink 4.0 s" in shown
    assert "lost hk 2" in lines[-1]


def test_each_packet_is_a_json_line(
    flight: FlightStandIn, options: list[str], capsys: Capture
) -> None:
    flight.telemetry.publish("evt", event("JOB_STARTED", message="job-1"))
    assert main(["watch", "--count", "2", "--for", "10", *options]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    by_topic = {line["topic"]: line for line in lines}
    assert by_topic["hk"]["body"]["mode"] == "OPERATIONAL"
    assert by_topic["hk"]["kind"] == "Housekeeping"
    assert by_topic["evt"]["seq"] == 1
    assert by_topic["evt"]["body"]["message"] == "job-1"


def test_a_terminal_shows_a_live_table(
    options: list[str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["watch", "--for", "0.8", *options]) == 0
    out = capsys.readouterr().out
    assert "waiting for housekeeping" in out
    assert "card_temperature_c" in out
    assert "41 °C" in out


def test_a_reader_that_has_seen_enough_is_not_an_error(
    flight: FlightStandIn, options: list[str]
) -> None:
    command = [sys.executable, "-m", "telecommands.groundsim", "watch", "--for", "20", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        assert b'"hk"' in watching.stdout.readline()
        watching.stdout.close()
        for _ in range(2):
            flight.telemetry.publish("hk", housekeeping())
        assert watching.wait(15) == 1
        assert watching.stderr.read() == b""


def test_topics_choose_what_is_shown(
    flight: FlightStandIn, options: list[str], capsys: Capture
) -> None:
    watching = threading.Thread(
        target=main, args=(["watch", "--topics", "evt,sci", "--count", "2", *options],)
    )
    watching.start()
    assert flight.telemetry.subscribed.wait(10)
    flight.telemetry.publish("hk", housekeeping())
    flight.telemetry.publish("sci.progress", progress())
    flight.telemetry.publish("evt", event("JOB_STARTED"))
    watching.join(10)
    assert not watching.is_alive()
    topics = {json.loads(line)["topic"] for line in capsys.readouterr().out.splitlines()}
    assert topics == {"sci.progress", "evt"}


def test_silence_is_4_and_fewer_than_asked_for_too(options: list[str], keys: object) -> None:
    assert main(["watch", "--topics", "evt", "--for", "0.2", *options]) == 4
    assert main(["watch", "--count", "5", "--for", "0.5", *options]) == 4


def test_housekeeping_is_stale_after_three_of_its_periods() -> None:
    state = TelemetryState()
    assert state.is_stale(0.0)
    take(state, "hk", housekeeping(), 100.0)
    assert not state.is_stale(129.0)  # three default periods, while none is known
    take(state, "hk", housekeeping(), 101.0)
    assert not state.is_stale(104.0)
    assert state.is_stale(104.1)
    assert "STALE for 1:02 min" in picture(state, 163.0)


def test_what_is_kept_is_bounded_and_the_newest() -> None:
    state = TelemetryState()
    for number in range(50):
        take(state, "evt", event("JOB_STARTED", message=f"event {number}"), 1.0)
        verification = Verification(id=f"id-{number}", name="PING", stage=Stage.COMPLETED, at=1)
        take(state, "ver", verification, 1.0)
        take(state, "sci.progress", progress(f"job-{number}"), 1.0)
    assert [one.message for _, one in state.events] == [
        f"event {number}" for number in range(50 - EVENTS_KEPT, 50)
    ]
    assert [one.id for one in state.telecommands.values()] == [
        f"id-{number}" for number in range(50 - TELECOMMANDS_KEPT, 50)
    ]
    assert len(state.jobs(1.0)) == JOBS_KEPT


def test_a_job_is_gone_once_it_ended_or_the_service_rebooted() -> None:
    state = TelemetryState()
    take(state, "sci.progress", progress("ended"), 1.0)
    take(state, "sci.progress", progress("denied"), 2.0)
    cloud = CloudFraction(
        job="ended", scene="A", model="m", engine="dimc", ground_sample_distance=10, height=1,
        width=1, valid_pixels=1, contaminated=0.25, fractions={}, rows=1, columns=1,
        tile_map=b"\x00", seconds=1, inference_seconds=1, stages_ms={}, energy_j=None,
    )  # fmt: skip
    take(state, "sci.cloud_fraction", cloud, 3.0)
    assert [one.job for one in state.jobs(3.0)] == ["denied"]
    take(state, "hk", housekeeping(jobs=JobCounts(running=0)), 4.0)
    assert state.jobs(4.0) == []
    take(state, "sci.progress", progress("before"), 5.0)
    take(state, "evt", event("SERVICE_STARTED"), 6.0, boot=2)
    assert state.jobs(6.0) == []


@pytest.mark.parametrize(
    ("value", "level"),
    [(None, Level.NOMINAL), (79.9, Level.NOMINAL), (80.0, Level.WARNING), (85, Level.CRITICAL)],
)
def test_limits_are_those_of_the_dictionary(value: float | None, level: Level) -> None:
    field = next(one for one in fields_of(Housekeeping) if one.name == "card_temperature_c")
    assert level_of(field, value) is level


def test_the_table_shows_every_field_and_what_is_wrong() -> None:
    state = TelemetryState()
    take(state, "hk", housekeeping(mode=Mode.SAFE, card_temperature_c=86.0), 1.0)
    take(state, "sci.progress", progress(), 1.1)
    hot = Event(
        event="TOO_HOT", severity=Severity.CRITICAL, message="[red]86 °C", fields={}, squelched=3
    )
    take(state, "evt", hot, 1.0)
    failed = Verification(
        id="x", name="PROCESS_SCENE", stage=Stage.FAILED, at=1, cause="B03 ends early"
    )
    take(state, "ver", failed, 1.0)
    shown = picture(state, 1.5, {"hk": 2})
    for field in Housekeeping.__struct_fields__:
        assert field in shown
    assert "86 °C" in shown
    assert "[red]86 °C (+3 suppressed)" in shown  # no markup of the service's is obeyed
    assert "512 of 1024 rows" in shown
    assert "B03 ends early" in shown
    assert "lost hk 2" in shown
    assert "STALE" not in shown
