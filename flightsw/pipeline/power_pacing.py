"""Pauses between batches that hold the mean power within a budget."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from flightsw.engines.engine import CardReadings
from flightsw.errors import InferenceFailed
from flightsw.telemetry.sensors import Sensors

WINDOW_S: Final = 10.0
TOLERANCE: Final = 0.02
"""The mean over any window of ten seconds is at most this share above the budget."""

_STEP_S: Final = 0.01
_LONGEST_PAUSE_S: Final = 10.0

NO_METER: Final = "the power budget was not kept: nothing measures power here"
SILENT_METER: Final = (
    "the power meter fell silent: the highest power that it had measured counted from then on"
)


class PowerBudget:
    """A store of energy that the budget fills and the work empties.

    It holds what the tolerance allows in one window, so any window's mean is within it, but for the
    energy of the batch that emptied the store.
    """

    def __init__(self, watts: float) -> None:
        self._watts = watts
        self._most = TOLERANCE * WINDOW_S * watts
        self._left = self._most
        self._last: tuple[float, float] | None = None

    def allows_work(self, joules: float, now: float) -> bool:
        """Whether the next batch may start; ``joules`` were drawn in all, ``now`` is seconds."""
        if self._last is not None:
            seconds, drawn = now - self._last[0], joules - self._last[1]
            self._left = min(self._most, self._left + self._watts * seconds - max(drawn, 0.0))
        self._last = now, joules
        return self._left >= 0


class EnergyMeter:
    """Joules drawn since it was made: the card's own figure, or the board's power over time.

    ``readings`` are the engine's, ``watts`` the power of the rail that feeds the card.
    While the rail's meter is silent, the highest power that it measured counts.
    """

    def __init__(
        self, readings: Callable[[], CardReadings | None], watts: Callable[[], float | None]
    ) -> None:
        self._readings = readings
        self._watts = watts
        self._joules = 0.0
        self._last: tuple[float, float] | None = None  # seconds, watts
        self._highest = 0.0
        self.fell_silent = False

    def joules(self, now: float) -> float | None:
        """At ``now`` (monotonic seconds); None if nothing measures."""
        card = self._readings()
        if card is not None and card.energy_joules is not None:
            return card.energy_joules
        watts = self._watts()
        if watts is None:
            if self._last is None:
                return None
            self.fell_silent = True
            watts = self._highest
        self._highest = max(self._highest, watts)
        if self._last is not None:
            self._joules += (now - self._last[0]) * (watts + self._last[1]) / 2
        self._last = now, watts
        return self._joules


class PowerPacing:
    """Waits before a batch as long as the budget asks for.  Used by the thread of the card."""

    def __init__(self, watts: float, meter: EnergyMeter) -> None:
        self._watts = watts
        self._budget = PowerBudget(watts)
        self._meter = meter
        self._never = threading.Event()
        self.paused_seconds = 0.0
        self._measures = True

    @property
    def remarks(self) -> tuple[str, ...]:
        """Why the budget was perhaps not kept, or kept more strictly than asked for."""
        if not self._measures:
            return (NO_METER,)
        return (SILENT_METER,) if self._meter.fell_silent else ()

    def wait(self) -> None:
        """Raise :class:`InferenceFailed` if the budget is not kept by a pause of ten seconds."""
        began = time.monotonic()
        while not self._may_go_on(now := time.monotonic()):
            if now - began > _LONGEST_PAUSE_S:
                raise InferenceFailed(
                    f"the power budget of {self._watts:g} W",
                    "cannot be kept: as much is drawn while the card rests",
                    "Raise pipeline.power_budget_w",
                )
            self._never.wait(_STEP_S)
        self.paused_seconds += time.monotonic() - began

    def _may_go_on(self, now: float) -> bool:
        joules = self._meter.joules(now)
        self._measures = joules is not None
        return joules is None or self._budget.allows_work(joules, now)


def open_pacing(
    watts: float | None, readings: Callable[[], CardReadings | None]
) -> PowerPacing | None:
    """The pacing of a scene; None without a budget."""
    if watts is None:
        return None
    return PowerPacing(watts, EnergyMeter(readings, Sensors(Path("/")).card_power))
