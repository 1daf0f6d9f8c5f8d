"""UTC as the interface can say it."""

from __future__ import annotations

import time
from typing import Final

LATEST_NS: Final = 2**63 - 1
"""2262-04-11: the last nanosecond that SQLite and the interface hold."""


def utc_ns() -> int:
    """UTC in nanoseconds since 1970; a clock before 1970 or after 2262 shows the nearest of these.

    A clock that is so wrong still lets the service run: durations are measured by the monotonic
    clock.
    """
    return min(max(time.time_ns(), 0), LATEST_NS)
