"""What is drawn, and whether it is within a budget: rules without a clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flightsw.engines.engine import CardReadings

WINDOW_S: Final = 10.0
TOLERANCE: Final = 0.02
"""The mean over any window of ten seconds is at most this share above the budget."""

SAMPLE_S: Final = 0.05
"""Between two readings: reading the INA3221 takes some tenths of a millisecond."""

_IN_STORE: Final = 0.5  # of the tolerance; the rest is for what is drawn between two readings


class PowerBudget:
    """A store of energy that the budget fills and the work empties.

    It begins empty and holds half of what the tolerance allows in one window, so any window's mean
    is within the tolerance if the other half covers what is drawn from one reading to the next.
    """

    def __init__(self, watts: float) -> None:
        self.watts = watts
        self._most = _IN_STORE * TOLERANCE * WINDOW_S * watts
        self._left = 0.0
        self._last: tuple[float, float] | None = None

    def allows_work(self, joules: float, now: float) -> bool:
        """Whether the next batch may start; ``joules`` were drawn in all, ``now`` is seconds."""
        if self._last is not None:
            seconds, drawn = now - self._last[0], joules - self._last[1]
            self._left = min(self._most, self._left + self.watts * seconds - drawn)
        self._last = now, joules
        return self._left >= 0

    def forgive(self) -> None:
        """Forget what was drawn although the card rested: no later rest makes up for it."""
        self._left = max(self._left, -self._most)


class EnergyMeter:
    """Joules drawn since it was made: the card's own figure, or the board's power over time.

    ``watts`` is the power of the rail that feeds the card.  What it is counts for the time since
    the reading before: the governor reads at the end of work, and at the end of a rest.
    If what measured falls silent, the highest power that was measured counts.
    """

    def __init__(self, watts: Callable[[], float | None]) -> None:
        self._watts = watts
        self._joules = 0.0
        self._power = self._highest = 0.0
        self._last: float | None = None  # seconds; None: nothing measures
        self._card: tuple[object, float] | None = None  # source, and its joules
        self._board = False
        self.fell_silent = False

    @property
    def measures(self) -> bool:
        """Whether the last reading was one."""
        return self._last is not None and not self.fell_silent

    def joules(self, card: CardReadings | None, source: object, now: float) -> float | None:
        """At ``now`` (monotonic seconds); None if nothing measures the engine that is open.

        ``source`` is where the card's readings come from: energies of two sources do not compare,
        and one that has no meter is not one that fell silent.
        """
        seconds = 0.0 if self._last is None else now - self._last
        before, energy = self._card, card.energy_joules if card else None
        if energy is not None:
            drawn = self._power * seconds
            if before is not None and before[0] is source and energy >= before[1]:
                drawn = energy - before[1]
            self._power = drawn / seconds if seconds else self._power
            self._card, self.fell_silent = (source, energy), False
        elif (watts := self._watts()) is not None:
            self._card, self._power, self._board, self.fell_silent = None, watts, True, False
            drawn = watts * seconds
        elif self._board or (before is not None and card is not None and before[0] is source):
            self._power, self.fell_silent = self._highest, True
            drawn = self._highest * seconds
        else:
            self._last, self._card, self._power = None, None, 0.0
            return None
        self._highest = max(self._highest, self._power)
        self._joules += drawn
        self._last = now
        return self._joules
