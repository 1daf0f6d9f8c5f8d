"""Alarms from the dictionary's limits and events: rules without files, sockets or clocks.

An alarm is raised by a value beyond its limits or by an event of a severity from WARNING_LOW on.
It stays on the list until it is acknowledged and, if a value raised it, the value is back within
its limits.  Raised again, or to a higher severity, it must be acknowledged again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

import msgspec

from telecommands.dashboard.points.point import Point, Scalar
from telecommands.dictionary import EVENTS, Event, Severity
from telecommands.ground.errors import UsageError
from telecommands.ground.limits import Level, level_within

AlarmSeverity: TypeAlias = Literal["WATCH", "WARNING", "CRITICAL"]
Side: TypeAlias = Literal["LOW", "HIGH", ""]

MOST_COMMENT: Final = 500
"""Characters of an operator's comment."""

_RANK: Final[Mapping[str | None, int]] = {None: 0, "WATCH": 1, "WARNING": 2, "CRITICAL": 3}
_OF_LEVEL: Final[Mapping[Level, AlarmSeverity]] = {
    Level.WARNING: "WARNING",
    Level.CRITICAL: "CRITICAL",
}
_OF_EVENT: Final[Mapping[Severity, AlarmSeverity]] = {
    Severity.WARNING_LOW: "WATCH",
    Severity.WARNING_HIGH: "WARNING",
    Severity.CRITICAL: "CRITICAL",
}
_OTHER: Final = "evt.other"  # of all events that a newer service may have


class OperatorAction(msgspec.Struct, frozen=True, kw_only=True):
    """Who acknowledged or shelved an alarm, and when (UTC nanoseconds)."""

    by: str
    at: int
    comment: str = ""


class Shelving(OperatorAction, frozen=True, kw_only=True):
    """``until`` is UTC nanoseconds; None: until it is taken from the shelf."""

    until: int | None


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm; times are UTC nanoseconds.

    ``value`` raised it; ``now`` is the latest value, ``beyond`` its severity, None within limits.
    """

    id: str
    name: str
    doc: str
    unit: str
    severity: AlarmSeverity
    side: Side
    count: int
    raised_at: int
    value: Scalar
    now: Scalar
    beyond: AlarmSeverity | None
    acknowledged: OperatorAction | None = None
    shelved: Shelving | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is on the list."""
        return self.acknowledged is None or self.beyond is not None


class AlarmBook:
    """All alarms, by id.  At most one per value with limits and one per event of the dictionary."""

    def __init__(self, alarms: Iterable[Alarm] = ()) -> None:
        self._alarms: Mapping[str, Alarm] = MappingProxyType({one.id: one for one in alarms})

    def open(self) -> tuple[Alarm, ...]:
        """The alarms on the list, newest first.  For any thread."""
        found = (one for one in self._alarms.values() if one.is_open)
        return tuple(sorted(found, key=lambda one: one.raised_at, reverse=True))

    def copy(self) -> AlarmBook:
        """A book with the same alarms, which changes by itself."""
        return AlarmBook(self._alarms.values())

    def take_value(self, point: Point, value: Scalar, t: int) -> Alarm | None:
        """The alarm that a value changes.  Missing values change none."""
        if point.limits is None or value is None:
            return None
        alarm = self._alarms.get(point.key)
        beyond = _OF_LEVEL.get(level_within(point.limits, value))
        if alarm is None or _RANK[beyond] > _RANK[alarm.beyond]:
            if beyond is None:
                return None
            return self._put(
                Alarm(
                    id=point.key,
                    name=point.name,
                    doc=point.doc,
                    unit=point.unit or "",
                    severity=beyond,
                    side=_side(point.limits, value),
                    count=1 if alarm is None else alarm.count + 1,
                    raised_at=t,
                    value=value,
                    now=value,
                    beyond=beyond,
                    shelved=alarm.shelved if alarm else None,
                )
            )
        if not alarm.is_open or (alarm.now, alarm.beyond) == (value, beyond):
            return None
        return self._put(msgspec.structs.replace(alarm, now=value, beyond=beyond))

    def take_event(self, event: Event, t: int) -> Alarm | None:
        """The alarm that an event raises."""
        severity = _OF_EVENT.get(event.severity)
        if severity is None:
            return None
        kind = EVENTS.get(event.event)  # type: ignore[call-overload]
        key = f"evt.{event.event}" if kind else _OTHER
        before = self._alarms.get(key)
        return self._put(
            Alarm(
                id=key,
                name=event.event,
                doc=kind.doc if kind else "an event that this release does not know",
                unit="",
                severity=severity,
                side="",
                count=(before.count if before else 0) + 1 + event.squelched,
                raised_at=t,
                value=event.message,
                now="",
                beyond=None,
                shelved=before.shelved if before else None,
            )
        )

    def change(self, alarm: str, change: Callable[[Alarm], Alarm]) -> Alarm:
        """Change an alarm on the list.  Raises :class:`UsageError` for every other."""
        known = self._alarms.get(alarm)
        if known is None or not known.is_open:
            raise UsageError(f"{alarm:.80}", "is not an alarm on the list", "See /api/alarms")
        return self._put(change(known))

    def _put(self, alarm: Alarm) -> Alarm:
        # Replaced as a whole: other threads may read the book.
        self._alarms = MappingProxyType({**self._alarms, alarm.id: alarm})
        return alarm


def acknowledged(action: OperatorAction) -> Callable[[Alarm], Alarm]:
    """The change that acknowledges an alarm."""
    return lambda alarm: msgspec.structs.replace(alarm, acknowledged=action)


def shelved(shelving: Shelving | None) -> Callable[[Alarm], Alarm]:
    """The change that shelves an alarm, or takes it from the shelf."""
    return lambda alarm: msgspec.structs.replace(alarm, shelved=shelving)


def _side(limits: Mapping[str, Any], value: Scalar) -> Side:
    assert isinstance(value, (int, float))
    lows = [limits[name] for name in ("warning_low", "critical_low") if name in limits]
    return "LOW" if any(value <= low for low in lows) else "HIGH"
