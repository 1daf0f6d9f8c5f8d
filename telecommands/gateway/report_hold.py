"""When reports about a telecommand may be sent.  No link, no clock of its own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from telecommands.gateway.packets import Report
from telecommands.gateway.requests import REQUEST_ID_BYTES, request_id

HOLD_S: Final = 0.25
"""A report comes at the earliest this long after its telecommand; the telecommand is not held.

Yamcs writes to the history of a command when it has sent it, on another thread than the one that
reads telemetry.  Its verifiers (5.12) may miss a report that arrives at this moment.
"""

_VERIFICATION: Final = 1


class ReportHold:
    """Holds the reports of one telecommand together and in order; times are monotonic seconds."""

    def __init__(self, hold_s: float) -> None:
        self._hold_s = hold_s
        self._until: OrderedDict[bytes, float] = OrderedDict()
        self._held: list[tuple[float, Sequence[Report]]] = []

    def received(self, raw: bytes, now: float) -> None:
        """A telecommand packet has arrived."""
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
        self._until[request_id(raw)] = now + self._hold_s
        self._until.move_to_end(request_id(raw))

    def add(self, reports: Sequence[Report]) -> None:
        """Reports that one stage of a telecommand has."""
        ids = [one.data[:REQUEST_ID_BYTES] for one in reports if one.service == _VERIFICATION]
        self._held.append((max((self._until.get(one, 0.0) for one in ids), default=0.0), reports))

    def due(self, now: float) -> list[Report]:
        """Those that may be sent now, in the order in which they came."""
        found = [report for until, reports in self._held if until <= now for report in reports]
        self._held = [held for held in self._held if held[0] > now]
        return found
