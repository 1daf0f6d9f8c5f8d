from __future__ import annotations

from typing import Any

from telecommands.dashboard.archive.timeline import contacts, jobs, planned
from telecommands.dictionary import (
    Event,
    ScheduleEntry,
    ScheduleList,
    Severity,
    Stage,
    TelecommandCall,
    Verification,
)

S = 10**9


def _events(*events: tuple[int, str, dict[str, Any]]) -> list[tuple[int, Event]]:
    return [
        (t * S, Event(event=name, severity=Severity.ACTIVITY, message="", fields=fields))
        for t, name, fields in events
    ]


def _list(*entries: tuple[str, int]) -> ScheduleList:
    return ScheduleList(
        entries=tuple(
            ScheduleEntry(
                entry=key, at=at * S, telecommand=TelecommandCall(name="PING"), if_missed="run"
            )
            for key, at in entries
        )
    )


def _stage(entry: str, stage: Stage, at: int) -> Verification:
    return Verification(id=entry, name="PING", stage=stage, at=at * S)


def test_a_contact_ends_when_it_is_closed_or_its_time_is_over() -> None:
    spans = contacts(
        _events(
            (1, "CONTACT_OPENED", {"seconds": 100}),
            (11, "CONTACT_CLOSED", {}),
            (20, "CONTACT_OPENED", {"seconds": 5}),
            (30, "CONTACT_CLOSED", {}),
            (40, "CONTACT_OPENED", {"seconds": 100}),
            (50, "CONTACT_OPENED", {"seconds": "nonsense"}),
            (60, "CONTACT_OPENED", {"seconds": 100}),
            (70, "SERVICE_STARTED", {}),
        )
    )
    times = [(one.start // S, (one.end or 0) // S) for one in spans]
    assert times == [(1, 11), (20, 25), (40, 50), (50, 50), (60, 70)]


def test_each_attempt_of_a_job_ends_by_its_event_or_a_start_of_the_service() -> None:
    spans = jobs(
        _events(
            (1, "JOB_STARTED", {"job": "a", "scene": "x.SAFE"}),
            (2, "JOB_FAILED", {"job": "another"}),
            (3, "JOB_REQUEUED", {"job": "a"}),
            (4, "JOB_STARTED", {"job": "a"}),
            (5, "JOB_COMPLETED", {"job": "a"}),
            (6, "JOB_STARTED", {"job": "b"}),
            (7, "SERVICE_STARTED", {}),
            (8, "JOB_STARTED", {"job": "c"}),
            (9, "JOB_FAILED", {"job": "c"}),
            (10, "JOB_STARTED", {"job": "d"}),
        )
    )
    assert [(one.start // S, one.end and one.end // S, one.state) for one in spans] == [
        (1, 3, "INTERRUPTED"),
        (4, 5, "COMPLETED"),
        (6, 7, "INTERRUPTED"),
        (8, 9, "FAILED"),
        (10, None, "RUNNING"),
    ]
    assert spans[0].name == "a x.SAFE"


def test_schedule_entries_are_planned_run_or_removed() -> None:
    lists = [
        (10 * S, _list(("ran", 20), ("failed", 25), ("removed", 90), ("kept", 100))),
        (30 * S, _list(("kept", 100), ("running", 110))),
    ]
    stages = [
        _stage("ran", Stage.STARTED, 20),
        _stage("ran", Stage.COMPLETED, 21),
        _stage("failed", Stage.REJECTED, 25),
        _stage("running", Stage.STARTED, 111),
        _stage("somebody's", Stage.COMPLETED, 22),
    ]
    spans = planned(lists, stages)
    assert {one.id: one.state for one in spans} == {
        "ran": "COMPLETED", "failed": "FAILED", "removed": "REMOVED", "kept": "PLANNED",
        "running": "RUNNING",
    }  # fmt: skip
    assert [(one.start // S, (one.end or 0) // S) for one in spans[:2]] == [(20, 21), (25, 25)]
