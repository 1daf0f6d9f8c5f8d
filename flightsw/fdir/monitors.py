"""Limits on measured values: values and times come in, states go out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

from msgspec import Meta

from telecommands.dictionary import EventName, Housekeeping

STALE_SECONDS: Final = 10.0
CLOCK_JUMP_SECONDS: Final = 1.0

_DISK_HYSTERESIS: Final = 0.05  # of the reserve: must be free beyond it before it is not full


class LimitState(str, Enum):
    """Of a monitored value."""

    IN_LIMITS = "in limits"
    WARNING = "warning"
    CRITICAL = "critical"
    STALE = "stale"


@dataclass(frozen=True)
class Limits:
    """A value beyond ``warning`` or ``critical`` has left its limits (None: no such limit).

    It must come back by ``hysteresis`` more before it counts as back.  Beyond means at or above;
    at or below if ``low``.  All in the value's unit.
    """

    warning: float | None
    critical: float | None
    hysteresis: float = 0.0
    low: bool = False


def temperature_limits(warm_c: float, hot_c: float, hysteresis_c: float) -> Limits:
    """Warning: work pauses.  Critical: SAFE mode.  In °C, from the parameters ``fdir.*``."""
    return Limits(warm_c, hot_c, hysteresis_c)


def disk_limits(reserve_bytes: float) -> Limits:
    """Of the free bytes.  Warning: less than twice the reserve.  Critical: the disk is full."""
    return Limits(2 * reserve_bytes, reserve_bytes, _DISK_HYSTERESIS * reserve_bytes, low=True)


def power_limits(budget_w: float, tolerance: float) -> Limits:
    """Of the mean power, W.  Warning: above the budget by the tolerance, cleared below half of it.

    ``tolerance`` is a share of the budget.
    """
    return Limits(budget_w * (1 + tolerance), None, budget_w * tolerance / 2)


def housekeeping_limits() -> dict[str, Limits]:
    """Limits that the dictionary gives to fields of housekeeping, by field."""
    limits = {}
    for field, hint in get_type_hints(Housekeeping, include_extras=True).items():
        extra = _extra(hint)
        warning, critical = extra.get("warning_high"), extra.get("critical_high")
        if warning is not None or critical is not None:
            limits[field] = Limits(warning, critical, extra.get("hysteresis", 0.0))
    return limits


@dataclass(frozen=True)
class LimitCheck:
    """What one check found.

    ``level`` is the state but for staleness: the last one known.  ``missed``: that it was not
    measured was reported.
    """

    name: str
    value: float | None
    before: LimitState
    state: LimitState
    level: LimitState
    passive: bool
    missed: bool = False

    @property
    def changed(self) -> bool:
        """Whether the state is different from that of the check before."""
        return self.state is not self.before

    @property
    def acts(self) -> bool:
        """Whether a reaction is due: critical, and the monitor is not passive."""
        return self.level is LimitState.CRITICAL and not self.passive


def events_of(check: LimitCheck) -> Iterator[tuple[EventName, str]]:
    """Names and messages of the events of a check, in their order; none if nothing changed."""
    if not check.changed:
        return
    if check.state is LimitState.STALE:
        message = f"{check.name} is not measured"
        if check.value is not None:
            message += f" any more; the last value was {check.value:g}"
        yield "SENSOR_SILENT", message
        return
    if check.before is LimitState.STALE and check.missed:
        yield "SENSOR_BACK", f"{check.name} is measured again and is {check.value:g}"
    if check.state is not LimitState.IN_LIMITS:
        message = f"{check.name} is {check.value:g}, which is {check.state.value}"
        yield "LIMIT_EXCEEDED", message
    elif check.before is not LimitState.STALE:
        yield "LIMIT_CLEARED", f"{check.name} is {check.value:g}, back within its limits"


class LimitMonitor:
    """Watches one value; one thread checks.

    Without a value for ``stale_after_s`` it is stale, but keeps its level: what was too hot when
    its sensor fell silent is not known to have cooled.  A passive monitor evaluates and asks for
    no reaction.  Limits come with each check, because telecommands change them.
    """

    def __init__(
        self,
        name: str,
        *,
        passive: bool = False,
        stale_after_s: float = STALE_SECONDS,
    ) -> None:
        self._name = name
        self._passive = passive
        self._stale_after_s = stale_after_s
        self._state = LimitState.STALE
        self._level = LimitState.IN_LIMITS
        self._value: float | None = None
        self._measured_at = -math.inf

    def check(
        self, value: float | None, monotonic: float, limits: Limits, *, expected: bool = False
    ) -> LimitCheck:
        """Evaluate a reading; None and NaN do not count as a reading.

        ``expected``: a value that never comes is reported too; others are reported if they came
        before.
        """
        missed = expected or self._value is not None
        if expected and self._measured_at == -math.inf:  # from now on
            self._state, self._measured_at = LimitState.IN_LIMITS, monotonic
        if value is not None and not math.isnan(value):
            self._value, self._measured_at = value, monotonic
        if self._value is not None:
            self._level = _level(self._value, limits, self._level)
        stale = monotonic - self._measured_at > self._stale_after_s
        before, self._state = self._state, LimitState.STALE if stale else self._level
        return LimitCheck(
            self._name,
            self._value,
            before,
            self._state,
            self._level,
            self._passive,
            missed,
        )


class ClockMonitor:
    """Detects jumps of UTC against the monotonic clock."""

    def __init__(self) -> None:
        self._last: tuple[int, float, float] | None = None

    def check(self, utc_ns: int, before: float, after: float) -> float | None:
        """Seconds by which UTC jumped since the last check (forward > 0); None: it did not.

        UTC was read between the monotonic moments ``before`` and ``after``: a thread that had to
        wait between two clocks saw no jump.
        """
        last, self._last = self._last, (utc_ns, before, after)
        if last is None:
            return None
        passed = (utc_ns - last[0]) / 1e9
        shortest, longest = before - last[2], after - last[1]
        jump = min(0.0, passed - shortest) + max(0.0, passed - longest)
        return jump if abs(jump) > CLOCK_JUMP_SECONDS else None


def _level(value: float, limits: Limits, before: LimitState) -> LimitState:
    was_critical = before is LimitState.CRITICAL
    if _beyond(value, limits.critical, limits, was_critical):
        return LimitState.CRITICAL
    if _beyond(value, limits.warning, limits, was_critical or before is LimitState.WARNING):
        return LimitState.WARNING
    return LimitState.IN_LIMITS


def _beyond(value: float, limit: float | None, limits: Limits, was_beyond: bool) -> bool:
    if limit is None:
        return False
    excess = limit - value if limits.low else value - limit
    return excess >= 0 or (was_beyond and excess > -limits.hysteresis)


def _extra(hint: Any) -> dict[str, Any]:
    if get_origin(hint) is not Annotated:
        return {}
    found: dict[str, Any] = {}
    for meta in get_args(hint)[1:]:
        if isinstance(meta, Meta):
            found.update(meta.extra or {})
    return found
