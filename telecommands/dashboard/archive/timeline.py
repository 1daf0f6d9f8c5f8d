"""Contacts, scheduled telecommands and jobs as activities in time, from archived packets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

import msgspec

from telecommands.codec import decoder_of
from telecommands.dashboard.archive.reader import ArchiveReader, StoredBody
from telecommands.dashboard.points.data import NS_PER_MS
from telecommands.dashboard.service_queries import SCHEDULE_REQUEST
from telecommands.dictionary import (
    Event,
    ListSchedule,
    ScheduleEntry,
    ScheduleList,
    Stage,
    Verification,
)

MOST_READ: Final = 5000
"""Packets of each topic that are read: the newest."""

_NS_PER_S: Final = 10**9
_ALWAYS: Final = 2**63 - 1
_ENDS: Final = {
    "JOB_COMPLETED": "COMPLETED",
    "JOB_FAILED": "FAILED",
    "JOB_REQUEUED": "INTERRUPTED",
}

Group = Literal["Contacts", "Schedule", "Jobs"]


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """Something that lasts; times are UTC milliseconds.

    ``state``: PLANNED, RUNNING, COMPLETED, FAILED, INTERRUPTED, REMOVED.
    """

    id: str
    group: Group
    name: str
    start: float
    end: float
    state: str


class _Span(NamedTuple):
    id: str
    name: str
    start: int
    end: int | None
    state: str


def timeline_of(reader: ArchiveReader, start: int, end: int, now: int) -> list[Activity]:
    """The activities between two times (UTC nanoseconds), ascending; ``now`` ends what runs.

    Begun activities come from events, planned ones from answers to this bridge's LIST_SCHEDULE.
    """
    read_event = decoder_of(Event).decode
    events = [(one.t, read_event(one.body)) for one in _newest(reader, "evt")]
    read_stage = decoder_of(Verification).decode
    stages = [read_stage(one.body) for one in _newest(reader, "ver")]
    lists = [
        (stage.at, schedule) for stage in stages if (schedule := _listed(reader, stage)) is not None
    ]
    groups: dict[Group, Iterable[_Span]] = {
        "Contacts": contacts(events),
        "Schedule": planned(lists, stages),
        "Jobs": jobs(events),
    }
    found = [
        _activity(group, span, now)
        for group, spans in groups.items()
        for span in spans
        if span.start <= end and (now if span.end is None else span.end) >= start
    ]
    return sorted(found, key=lambda one: one.start)


def next_contact(reader: ArchiveReader, telecommand: str, now: int) -> int | None:
    """When the schedule that was listed last runs ``telecommand`` next (UTC nanoseconds)."""
    read = decoder_of(Verification).decode
    for stored in reader.bodies("ver", 0, _ALWAYS, MOST_READ, newest=True):
        stage = read(stored.body)
        schedule = _listed(reader, stage)
        if schedule is not None:
            times = [one.at for one in schedule.entries if one.telecommand.name == telecommand]
            return min((at for at in times if at > now), default=None)
    return None


def contacts(events: Iterable[tuple[int, Event]]) -> list[_Span]:
    """The contact windows: each ends by its event, by its length, or by the next one."""
    spans: list[_Span] = []
    for t, event in events:
        last = spans[-1] if spans else None
        opened = event.event == "CONTACT_OPENED"
        ended = opened or event.event in ("CONTACT_CLOSED", "SERVICE_STARTED")
        if ended and last is not None and last.end is not None and t < last.end:
            spans[-1] = last._replace(end=t)
        if opened:
            seconds = event.fields.get("seconds")
            length = seconds if isinstance(seconds, (int, float)) else 0
            name = f"Contact, {length:g} s"
            spans.append(_Span(f"contact-{t}", name, t, t + round(length * _NS_PER_S), ""))
    return spans


def jobs(events: Iterable[tuple[int, Event]]) -> list[_Span]:
    """The attempts of the jobs: each ends by an event of its job, or by a start of the service."""
    spans: list[_Span] = []
    running: dict[str, int] = {}
    for t, event in events:
        job = str(event.fields.get("job", ""))
        if event.event == "JOB_STARTED":
            running[job] = len(spans)
            scene = str(event.fields.get("scene", ""))
            spans.append(_Span(f"{job}-{t}", f"{job} {scene}".strip(), t, None, "RUNNING"))
        elif event.event in _ENDS and job in running:
            at = running.pop(job)
            spans[at] = spans[at]._replace(end=t, state=_ENDS[event.event])
        elif event.event == "SERVICE_STARTED":
            for at in running.values():
                spans[at] = spans[at]._replace(end=t, state="INTERRUPTED")
            running.clear()
    return spans


def planned(
    lists: Iterable[tuple[int, ScheduleList]], stages: Iterable[Verification]
) -> list[_Span]:
    """The schedule entries, as the lists had them, with what became of each."""
    entries: dict[str, ScheduleEntry] = {}
    removed: set[str] = set()
    for at, found in lists:
        listed = {one.entry for one in found.entries}
        removed |= {key for key, one in entries.items() if key not in listed and one.at > at}
        removed -= listed
        entries.update({one.entry: one for one in found.entries})
    ran = {stage.id: stage for stage in stages if stage.id in entries}
    return [
        _Span(
            key,
            entry.telecommand.name,
            entry.at,
            ran[key].at if key in ran else entry.at,
            _state(ran.get(key), removed=key in removed),
        )
        for key, entry in entries.items()
    ]


def _state(stage: Verification | None, *, removed: bool) -> str:
    if stage is None:
        return "REMOVED" if removed else "PLANNED"
    if not stage.stage.closes:
        return "RUNNING"
    return "COMPLETED" if stage.stage is Stage.COMPLETED else "FAILED"


def _activity(group: Group, span: _Span, now: int) -> Activity:
    end = now if span.end is None else span.end
    state = span.state or ("COMPLETED" if end <= now else "RUNNING")
    return Activity(
        id=span.id,
        group=group,
        name=span.name,
        start=span.start / NS_PER_MS,
        end=max(end, span.start) / NS_PER_MS,
        state=state,
    )


def _listed(reader: ArchiveReader, stage: Verification) -> ScheduleList | None:
    """The whole schedule, as listed for this bridge.

    None for all other stages, and if a newer service answers in another form.
    """
    if (stage.name, stage.stage) != (ListSchedule.NAME, Stage.COMPLETED):
        return None
    if reader.arguments_of(stage.id) != msgspec.json.encode(SCHEDULE_REQUEST).decode():
        return None
    try:
        return msgspec.convert(stage.data, ScheduleList)
    except msgspec.ValidationError:
        return None


def _newest(reader: ArchiveReader, topic: str) -> list[StoredBody]:
    return list(reader.bodies(topic, 0, _ALWAYS, MOST_READ, newest=True))[::-1]
