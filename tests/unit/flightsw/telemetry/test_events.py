from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from flightsw.state import StateFile
from flightsw.telemetry.events import BURST, PER_SECOND, EventReporter
from flightsw.telemetry.packets import PacketStream
from telecommands.codec import decode_packet
from telecommands.dictionary import EVENTS, Event, EventName, Severity


class _Reported:
    def __init__(self) -> None:
        self.now = 0.0
        self.events: list[Event] = []
        self.log = structlog.testing.CapturingLogger()
        self.reporter = EventReporter(
            self.events.append, self.log, lambda: self.now, lambda action: action()
        )

    def names(self) -> list[str]:
        return [event.event for event in self.events]


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("SELF_TEST_PASSED", "debug"),
        ("JOB_STARTED", "info"),
        ("CLOCK_JUMPED", "warning"),
        ("JOB_FAILED", "error"),
        ("TOO_HOT", "critical"),
    ],
)
def test_an_event_has_the_dictionarys_severity_and_is_logged_at_its_level(
    name: EventName, level: str
) -> None:
    reported = _Reported()
    reported.reporter.report(name, "why", job="j1")
    (event,) = reported.events
    assert (event.severity, event.message, event.fields) == (
        EVENTS[name].severity,
        "why",
        {"job": "j1"},
    )
    (call,) = reported.log.calls
    assert (call.method_name, call.args) == (level, (name,))
    assert call.kwargs["fields"] == {"job": "j1"}


def test_a_flood_is_squelched_reported_once_and_counted_in_the_next_that_passes() -> None:
    reported = _Reported()
    for _ in range(BURST + 30):
        reported.reporter.report("TELECOMMAND_REJECTED", "x")
    assert reported.names() == ["TELECOMMAND_REJECTED"] * BURST + ["EVENTS_SQUELCHED"]
    assert reported.events[-1].fields == {"source": "TELECOMMAND_REJECTED"}
    assert reported.reporter.squelched == 30
    assert len(reported.log.calls) == BURST + 1
    reported.now += 1 / PER_SECOND
    reported.reporter.report("TELECOMMAND_REJECTED", "x")
    reported.reporter.report("TELECOMMAND_REJECTED", "x")
    assert reported.events[BURST + 1].squelched == 30
    reported.now += 1 / PER_SECOND
    reported.reporter.report("TELECOMMAND_REJECTED", "x")
    assert reported.events[-1].squelched == 1


def test_a_flood_of_one_name_leaves_the_others_alone() -> None:
    reported = _Reported()
    for _ in range(BURST * 2):
        reported.reporter.report("TELECOMMAND_REJECTED", "x")
    reported.reporter.report("JOB_FAILED", "x")
    assert reported.names()[-1] == "JOB_FAILED"


def test_critical_events_are_never_squelched() -> None:
    reported = _Reported()
    critical = [name for name, kind in EVENTS.items() if kind.severity is Severity.CRITICAL]
    for name in critical:
        for _ in range(BURST * 3):
            reported.reporter.report(name, "x")
    assert len(reported.events) == len(critical) * BURST * 3
    assert reported.reporter.squelched == 0


def test_even_the_event_of_squelching_is_squelched() -> None:
    reported = _Reported()
    others = [name for name, kind in EVENTS.items() if kind.severity is not Severity.CRITICAL]
    others.remove("EVENTS_SQUELCHED")
    for name in others * (BURST + 1):
        reported.reporter.report(name, "x")
    assert len(others) > BURST
    assert reported.names().count("EVENTS_SQUELCHED") == BURST
    assert reported.reporter.squelched == len(others) + len(others) - BURST


@given(waits=st.lists(st.floats(0, 5), max_size=200))
def test_what_passes_and_what_is_left_out_adds_up_and_keeps_to_the_rate(waits: list[float]) -> None:
    reported = _Reported()
    for wait in waits:
        reported.now += wait
        reported.reporter.report("JOB_STARTED", "x")
    reported.now += 1000
    reported.reporter.report("JOB_STARTED", "x")
    passed = [event for event in reported.events if event.event == "JOB_STARTED"]
    assert len(passed) + sum(event.squelched for event in passed) == len(waits) + 1
    assert len(passed) - 1 <= BURST + PER_SECOND * sum(waits) + 1e-6


def test_fields_of_any_kind_go_down_without_secrets() -> None:
    reported = _Reported()
    reported.reporter.report(
        "KEYS_REFUSED",
        "bad \udcff name",
        key="0011",
        key_id="ops",
        mac=b"1234",
        folder=Path("/x"),
        event="a field may be named so",
        nested={"secret": 1, "sizes": (1, 2)},
        found=b"12345",
        share=float("nan"),
        huge=2**80,
    )
    frames = PacketStream("sat-a", boot=1).frames("evt", reported.events[0], 1)
    event = decode_packet(*frames)[1]
    assert isinstance(event, Event)
    assert event.fields == {
        "key_id": "ops",
        "folder": "/x",
        "event": "a field may be named so",
        "nested": {"sizes": [1, 2]},
        "found": "<5 bytes>",
        "share": "nan",
        "huge": str(2**80),
    }
    assert event.message == "bad \\udcff name"


def test_what_a_transaction_reports_appears_with_its_commit_and_never_if_it_is_rolled_back(
    tmp_path: Path,
) -> None:
    events: list[Event] = []
    with StateFile(tmp_path) as state:
        log = structlog.testing.CapturingLogger()
        reporter = EventReporter(events.append, log, lambda: 0.0, state.after_commit)
        with state.transaction():
            reporter.report("JOB_FAILED", "kept", job="j1")
            reporter.report_now("MODE_CHANGED", "true already")
            assert [one.event for one in events] == ["MODE_CHANGED"]
            assert len(log.calls) == 1
        assert [one.message for one in events] == ["true already", "kept"]
        with suppress(KeyError), state.transaction():
            reporter.report("JOB_FAILED", "rolled back", job="j2")
            raise KeyError
        reporter.report("JOB_STARTED", "without a transaction")
    assert [one.message for one in events[2:]] == ["without a transaction"]
