"""When work began and ceased to be paused again and again: seconds of pauses in, changes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from telecommands.dictionary import PauseCause

QUIET_S: Final = 30.0
"""Without a pause for so long, pacing has ended: a cause changes twice in that time at most."""


@dataclass(frozen=True)
class PacingChange:
    """Pacing began, or ended after ``seconds`` of pauses."""

    cause: PauseCause
    begun: bool
    seconds: float


@dataclass
class _Pacing:
    seconds: float = 0.0  # of pauses, in all
    before: float = 0.0  # of them, before it began
    paused_at: float | None = None  # None: work is not paced


class PacingWatch:
    """Watches the pauses of each cause; one thread checks."""

    def __init__(self) -> None:
        self._pacing: dict[PauseCause, _Pacing] = {"temperature": _Pacing(), "power": _Pacing()}

    @property
    def cause(self) -> Literal["nothing", "power", "temperature"]:
        """Why work is paced now; the temperature goes before the budget."""
        for cause, pacing in self._pacing.items():
            if pacing.paused_at is not None:
                return cause
        return "nothing"

    def check(
        self, paused_seconds: Mapping[PauseCause, float], monotonic: float
    ) -> Iterator[PacingChange]:
        """What changed since the last check; ``paused_seconds`` are those of all pauses."""
        for cause, pacing in self._pacing.items():
            seconds, before = paused_seconds[cause], pacing.seconds
            if seconds > before:
                begins, pacing.paused_at = pacing.paused_at is None, monotonic
                pacing.seconds = seconds
                if begins:
                    pacing.before = before
                    yield PacingChange(cause, True, 0.0)
            elif pacing.paused_at is not None and monotonic - pacing.paused_at >= QUIET_S:
                pacing.paused_at = None
                yield PacingChange(cause, False, seconds - pacing.before)
