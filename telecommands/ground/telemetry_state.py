"""State of the service as received by telemetry, for the live table."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from typing import Final, TypeVar

import msgspec

from telecommands.dictionary import (
    PARAMETERS,
    CloudFraction,
    Event,
    Housekeeping,
    ListSchedule,
    OpenContact,
    Packet,
    Progress,
    Record,
    ScheduleList,
    Stage,
    Verification,
)
from telecommands.ground.limits import parameters_in

Kept = TypeVar("Kept")

EVENTS_KEPT: Final = 12
TELECOMMANDS_KEPT: Final = 10
JOBS_KEPT: Final = 4

PERIODS_UNTIL_STALE: Final = 3
"""Housekeeping is stale after this number of its periods."""

STALE_AFTER_S: Final = PERIODS_UNTIL_STALE * float(PARAMETERS["housekeeping.period_s"].default)
"""The same while the period is unknown: three default periods."""

_LEAST_STALE_S: Final = 2.0
_JOB_SILENT_S: Final = 120.0


class TelemetryState:
    """Updated packet by packet; ``now`` is monotonic seconds.  Its size is bounded."""

    def __init__(self) -> None:
        self.housekeeping: Housekeeping | None = None
        self.housekeeping_at = 0.0
        self.boot = 0
        self.events: deque[tuple[int, Event]] = deque(maxlen=EVENTS_KEPT)
        self.telecommands: OrderedDict[str, Verification] = OrderedDict()
        self.cloud: CloudFraction | None = None
        self.contacts: tuple[int, ...] = ()
        """Contacts that the last answer to LIST_SCHEDULE planned (UTC nanoseconds), ascending."""
        self.parameters: dict[str, float] = {}
        """Parameters that are limits, as far as they were reported."""
        self.packets: Counter[str] = Counter()
        self._jobs: OrderedDict[str, tuple[float, Progress]] = OrderedDict()
        self._stale_after_s = STALE_AFTER_S

    def take(self, topic: str, packet: Packet, record: Record, now: float) -> None:
        """Add a packet."""
        self.packets[topic] += 1
        self.parameters |= parameters_in(record)
        if packet.boot != self.boot:
            self.boot = packet.boot
            self._jobs.clear()
        if isinstance(record, Housekeeping):
            self._take_housekeeping(record, now)
        elif isinstance(record, Event):
            self.events.append((packet.t, record))
        elif isinstance(record, Verification):
            own = f"{record.key_id}/{record.id}"  # ids of two keys may be equal
            self._keep(self.telecommands, own, record, TELECOMMANDS_KEPT)
            self._take_schedule(record)
        elif isinstance(record, Progress):
            self._keep(self._jobs, record.job, (now, record), JOBS_KEPT)
        elif isinstance(record, CloudFraction):
            self.cloud = record
            self._jobs.pop(record.job, None)

    def is_stale(self, now: float) -> bool:
        """Whether housekeeping is older than three of its periods, or was never received."""
        return self.housekeeping is None or now - self.housekeeping_at > self._stale_after_s

    def jobs(self, now: float) -> list[Progress]:
        """Running jobs: reported recently, and not contradicted by later housekeeping."""
        idle_since = -1.0
        if self.housekeeping is not None and self.housekeeping.jobs.running == 0:
            idle_since = self.housekeeping_at
        return [
            progress
            for at, progress in self._jobs.values()
            if at > idle_since and now - at < _JOB_SILENT_S
        ]

    def _take_housekeeping(self, record: Housekeeping, now: float) -> None:
        if self.packets["hk"] > 1:
            period = now - self.housekeeping_at
            self._stale_after_s = max(_LEAST_STALE_S, PERIODS_UNTIL_STALE * period)
        self.housekeeping, self.housekeeping_at = record, now

    def _take_schedule(self, record: Verification) -> None:
        if (record.name, record.stage) != (ListSchedule.NAME, Stage.COMPLETED):
            return
        try:
            entries = msgspec.convert(record.data, ScheduleList).entries
        except msgspec.ValidationError:  # of a newer service
            return
        times = (one.at for one in entries if one.telecommand.name == OpenContact.NAME)
        self.contacts = tuple(sorted(times))

    @staticmethod
    def _keep(kept: OrderedDict[str, Kept], key: str, value: Kept, most: int) -> None:
        """Keep the newest ``most`` entries, newest last."""
        kept[key] = value
        kept.move_to_end(key)
        if len(kept) > most:
            kept.popitem(last=False)
