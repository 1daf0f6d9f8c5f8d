"""Times as people write them: on the command lines of both sides, and in scenarios."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Final

_SPAN: Final = re.compile(r"\+\s*([0-9]{1,15}(?:\.[0-9]+)?)\s*(ms|s|min|h|d)?")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_YEAR_10000_NS: Final = 253_402_300_800 * 10**9


def read_time(text: str, now_ns: int) -> int:
    """UTC nanoseconds of digits, or of what :func:`read_moment` reads.

    :class:`ValueError` for anything else.
    """
    if text.isdecimal():
        return int(text)
    return read_moment(text, now_ns)


def read_moment(text: str, now_ns: int) -> int:
    """UTC nanoseconds of ``+30s`` after ``now_ns``, or of ISO 8601 (UTC without an offset).

    :class:`ValueError` for anything else, and after the year 9999.
    """
    if text.startswith("+"):
        moment_ns = now_ns + round(read_span(text) * 1e9)
        if moment_ns >= _YEAR_10000_NS:
            raise ValueError(f"{text!r} is not a time before the year 10000")
        return moment_ns
    try:
        moment = datetime.fromisoformat(re.sub(r"[zZ]\Z", "+00:00", text))
    except ValueError as error:
        raise ValueError(
            f"{text!r} is not a time: give +30s, ISO 8601 in UTC, or nanoseconds"
        ) from error
    since = (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000


def read_span(text: str) -> float:
    """Seconds of ``+30s``, ``+250ms``, ``+5min``, ``+2h``, ``+1d``; else :class:`ValueError`."""
    found = _SPAN.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is not a duration: give +30s, +250ms, +5min, +2h, +1d")
    return float(found[1]) * _SECONDS[found[2] or "s"]
