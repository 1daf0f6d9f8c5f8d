"""Telecommands that wait for their time, through restarts and power cuts."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

import msgspec

from flightsw.commanding.context import Completed, Handler, Outcome, TelecommandContext
from flightsw.state import StateFile
from telecommands.codec import convert_arguments, encode
from telecommands.dictionary import (
    Code,
    ListSchedule,
    RotateKey,
    Schedule,
    ScheduleEntry,
    ScheduleList,
    ScheduleResult,
    TelecommandCall,
    Unschedule,
)
from telecommands.refusal import Refusal

MOST_ENTRIES: Final = 1000
"""Entries that may wait."""

_NEVER: Final[Mapping[str, str]] = MappingProxyType(
    {
        Schedule.NAME: "Schedule the telecommand itself",
        RotateKey.NAME: "Send it when it is needed: it concerns the key that signs it",
    }
)
_AT_ONCE: Final = 16  # due entries handed out in one go: what else is commanded comes between


class DueEntry(msgspec.Struct, frozen=True):
    """A telecommand whose time has come; ``at`` is UTC in nanoseconds."""

    entry: str
    name: str
    args: dict[str, Any]
    key_id: str
    at: int
    if_missed: Literal["report", "run"]


class TelecommandSchedule:
    """The schedule.  One thread changes it; any may ask for entries and count."""

    def __init__(self, state: StateFile) -> None:
        self._state = state
        self._next: int | None = None  # when the soonest entry is due; None: to be looked up

    def add(self, entry: str, schedule: Schedule, key_id: str, now_ns: int) -> None:
        """Put a telecommand on the schedule under the id ``entry``.

        Raises :class:`Refusal`: TIME_PASSED, QUEUE_FULL, or what is wrong with the telecommand.
        """
        inner = schedule.telecommand
        convert_arguments(inner.name, inner.args)
        if inner.name in _NEVER:
            cause = f"{inner.name} cannot be scheduled"
            raise Refusal(Code.BAD_ARGUMENTS, cause, _NEVER[inner.name])
        if schedule.at <= now_ns:
            late = (now_ns - schedule.at) / 1e9
            raise Refusal(
                Code.TIME_PASSED, f"the time passed {late:.1f} s ago", "Give a later time"
            )
        if self.count() >= MOST_ENTRIES:
            cause = f"{MOST_ENTRIES} telecommands are scheduled already"
            raise Refusal(Code.QUEUE_FULL, cause, "Wait, or remove others with UNSCHEDULE")
        values = (entry, schedule.at, inner.name, encode(inner.args), schedule.if_missed, key_id)
        with self._state.transaction() as db:
            db.execute(
                "INSERT INTO schedule (entry, at, name, args, if_missed, key_id)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                values,
            )
        self._next = None

    def remove(self, entry: str) -> None:
        """Take an entry off unrun; :class:`Refusal` UNKNOWN_SCHEDULE_ENTRY for another id."""
        if not self._delete(entry):
            cause = f"{entry} is not on the schedule"
            raise Refusal(Code.UNKNOWN_SCHEDULE_ENTRY, cause, "See LIST_SCHEDULE")

    def take(self, entry: str) -> None:
        """Take a due entry off: part of the transaction that accepts its telecommand."""
        self._delete(entry)

    def distrust(self, entries: Collection[str] | None) -> tuple[str, ...]:
        """Take those of the entries off: they are older versions, and may have run.

        None: any entry may be one.
        """
        with self._state.transaction():
            waiting = (one.entry for one in self.entries())
            taken = tuple(one for one in waiting if entries is None or one in entries)
            for entry in taken:
                self.take(entry)
        return taken

    def entries(self, limit: int = MOST_ENTRIES, skip: int = 0) -> tuple[ScheduleEntry, ...]:
        """Up to ``limit`` entries after the first ``skip``, soonest first."""
        with self._state.reading() as db:
            rows = db.execute(
                "SELECT entry, at, name, args, if_missed, key_id FROM schedule"
                " ORDER BY at, rowid LIMIT ? OFFSET ?",
                (limit, skip),
            ).fetchall()
        return tuple(
            ScheduleEntry(
                entry=entry,
                at=at,
                telecommand=TelecommandCall(name=name, args=msgspec.msgpack.decode(args)),
                if_missed=if_missed,
                key_id=key_id,
            )
            for entry, at, name, args, if_missed, key_id in rows
        )

    def count(self) -> int:
        """How many entries wait."""
        with self._state.reading() as db:
            return int(db.execute("SELECT COUNT(*) FROM schedule").fetchone()[0])

    def due(self, now_ns: int) -> list[DueEntry]:
        """The soonest entries whose time has come at ``now_ns`` (UTC), a few a call.

        Reads the state file only if there may be one.
        """
        if self._next is not None and now_ns < self._next:
            return []
        with self._state.reading() as db:
            rows = db.execute(
                "SELECT entry, name, args, key_id, at, if_missed FROM schedule"
                " ORDER BY at, rowid LIMIT ?",
                (_AT_ONCE,),
            ).fetchall()
        self._next = rows[0][4] if rows else 2**63
        return [
            DueEntry(entry, name, msgspec.msgpack.decode(args), key_id, at, if_missed)
            for entry, name, args, key_id, at, if_missed in rows
            if at <= now_ns
        ]

    def _delete(self, entry: str) -> bool:
        with self._state.transaction() as db:
            self._next = None
            return db.execute("DELETE FROM schedule WHERE entry = ?", (entry,)).rowcount > 0


def schedule_handlers(
    schedule: TelecommandSchedule, clock: Callable[[], int]
) -> Mapping[str, Handler]:
    """SCHEDULE, UNSCHEDULE and LIST_SCHEDULE; ``clock`` gives UTC in nanoseconds."""

    def add(telecommand: Schedule, context: TelecommandContext) -> Outcome:
        entry = f"S{uuid.uuid4().hex}"
        schedule.add(entry, telecommand, context.key_id, clock())
        return Completed(ScheduleResult(entry=entry))

    def remove(telecommand: Unschedule, _context: TelecommandContext) -> Outcome:
        schedule.remove(telecommand.entry)
        return Completed()

    def list_entries(telecommand: ListSchedule, _context: TelecommandContext) -> Outcome:
        entries = schedule.entries(telecommand.limit, telecommand.skip)
        return Completed(ScheduleList(entries=entries))

    return {Schedule.NAME: add, Unschedule.NAME: remove, ListSchedule.NAME: list_entries}
