"""Events: named in the dictionary, squelched if one source reports too much, and logged."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from structlog.typing import FilteringBoundLogger

from flightsw.host.token_bucket import TokenBucket
from flightsw.telemetry.redaction import plain
from telecommands.dictionary import EVENTS, Event, EventName, Severity

BURST: Final = 20
"""Events of one name that may go out in one burst."""
PER_SECOND: Final = 2.0
"""Events of one name that may go out a second in the long run."""

_SQUELCHED: Final[EventName] = "EVENTS_SQUELCHED"
_LEVELS: Final = {
    Severity.DIAGNOSTIC: "debug",
    Severity.ACTIVITY: "info",
    Severity.WARNING_LOW: "warning",
    Severity.WARNING_HIGH: "error",
    Severity.CRITICAL: "critical",
}


class EventReporter:
    """Publishes and logs events; any thread may report.

    One bucket of tokens for each name keeps a flood out of both; CRITICAL events always pass.
    The first event left out is reported by EVENTS_SQUELCHED; the next one that passes carries how
    many were left out.
    ``after_commit`` delays what a transaction reports until it is committed: an event that the
    ground saw must not be undone.
    """

    def __init__(
        self,
        publish: Callable[[Event], None],
        log: FilteringBoundLogger,
        monotonic: Callable[[], float],
        after_commit: Callable[[Callable[[], None]], None],
    ) -> None:
        self._publish = publish
        self._log = log
        self._monotonic = monotonic
        self._after_commit = after_commit
        self._lock = threading.Lock()
        self._buckets: dict[str, TokenBucket] = {}
        self._left_out: Counter[str] = Counter()  # since the last event of the name that passed
        self._squelched = 0

    @property
    def squelched(self) -> int:
        """Events left out since the service started."""
        with self._lock:
            return self._squelched

    def report(self, event: EventName, message: str, /, **fields: Any) -> None:
        """Report an event of the dictionary; fields may be anything, secrets are removed."""
        self._after_commit(lambda: self.report_now(event, message, **fields))

    def report_now(self, event: EventName, message: str, /, **fields: Any) -> None:
        """The same for what is true already, whatever becomes of the open transaction."""
        passes, left_out = self._admit(event)
        if passes:
            self._emit(event, message, fields, left_out)
        elif left_out == 1 and event != _SQUELCHED:
            message = f"{event} occurs too often; some {event} events are suppressed"
            self.report_now(_SQUELCHED, message, source=event)

    def _admit(self, event: EventName) -> tuple[bool, int]:
        """Whether it passes, and how many of its name were left out since the last that did."""
        if EVENTS[event].severity is Severity.CRITICAL:
            return True, 0
        with self._lock:
            now = self._monotonic()
            bucket = self._buckets.setdefault(event, TokenBucket(BURST, now))
            if bucket.take(PER_SECOND, BURST, now):
                return True, self._left_out.pop(event, 0)
            self._squelched += 1
            self._left_out[event] += 1
            return False, self._left_out[event]

    def _emit(self, event: EventName, message: str, fields: dict[str, Any], squelched: int) -> None:
        record = Event(
            event=event,
            severity=EVENTS[event].severity,
            message=plain(message),
            fields=plain(fields),
            squelched=squelched,
        )
        log = getattr(self._log, _LEVELS[record.severity])
        log(
            event,
            severity=record.severity.value,
            message=record.message,
            fields=record.fields,
            squelched=squelched,
        )
        self._publish(record)
