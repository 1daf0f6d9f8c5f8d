"""The governor: lets the card rest between batches, for a power budget and for its temperature."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

from flightsw.engines.engine import CardReadings
from flightsw.pipeline.power_pacing import SAMPLE_S, WINDOW_S, EnergyMeter, PowerBudget
from flightsw.telemetry.sensors import Sensors
from telecommands.dictionary import PauseCause

MOST_REST: Final = 0.9
"""However little is left, the card works a tenth of the time: a scene ends in any case."""

LONGEST_PAUSE_S: Final = 10.0
"""If it restores no budget, as much is drawn at rest: longer ones would not help."""

_LONGEST_WORK_S: Final = 1.0  # a longer time between two batches was a wait for the decoder

NO_METER: Final = "the power budget was not enforced: no sensor measures power"
SILENT_METER: Final = (
    "the power meter stopped answering; from then on its highest reading was assumed"
)
NOT_KEPT: Final = (
    "the power budget was exceeded even while the card was paused; the card then worked a tenth of"
    " the time"
)

Readings: TypeAlias = Callable[[], CardReadings | None]
ThermalLimits: TypeAlias = tuple[float, float]
"""From which temperature on the card rests, and at which work pauses, °C."""


def rest_share(celsius: float | None, limits: ThermalLimits | None) -> float:
    """Share of the time for which a card of this temperature rests, 0 to :data:`MOST_REST`.

    It grows in proportion between the limits; without a temperature, without limits, or with the
    first limit not below the second, it is 0.
    """
    if celsius is None or limits is None:
        return 0.0
    slow, warm = limits
    if slow >= min(celsius, warm):
        return 0.0
    return MOST_REST * min(1.0, (celsius - slow) / (warm - slow))


class PauseLog:
    """For how long the card was kept at rest, and why; any thread may add and ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[PauseCause, float] = {"power": 0.0, "temperature": 0.0}
        self._counted_until = -math.inf

    def add(self, cause: PauseCause, began: float, ended: float) -> None:
        """A pause, in monotonic seconds; what two threads waited together counts once."""
        with self._lock:
            self._seconds[cause] += max(0.0, ended - max(began, self._counted_until))
            self._counted_until = max(self._counted_until, ended)

    @property
    def seconds(self) -> Mapping[PauseCause, float]:
        """In all, by cause."""
        with self._lock:
            return dict(self._seconds)

    @property
    def total(self) -> float:
        """Seconds of all pauses."""
        return math.fsum(self.seconds.values())


class Governor:
    """One for a process: its budget and what it knows of the card outlast a scene.

    ``idle`` gives the readings of the engine that is open while no scene runs, ``watts`` the power
    of the rail that feeds the card; ``alive`` is called while the card rests.  ``thermal_limits``
    may be set by any thread.  A scene is paced by the thread that drives its engine; any thread may
    call the rest.
    """

    def __init__(
        self,
        budget_w: float | None,
        *,
        idle: Readings = lambda: None,
        watts: Callable[[], float | None] | None = None,
        alive: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
        rest: Callable[[float], object] | None = None,
    ) -> None:
        self.budget_w = budget_w
        self.thermal_limits: ThermalLimits | None = None
        self.pauses = PauseLog()
        self._watts = watts or _rail_power(budget_w)
        self._alive = alive
        self._monotonic = monotonic
        self._rest = rest or threading.Event().wait
        self._lock = threading.Lock()  # of what is sampled
        self._idle = self._readings = idle
        self._sampled = self._followed = -math.inf
        self._celsius: float | None = None
        self._not_kept = False
        self._start_over()
        self._owed = 0.0  # seconds of rest
        self._went: float | None = None  # when the last batch began

    @contextmanager
    def scene(self, readings: Readings) -> Iterator[ScenePacing]:
        """Pace a scene on the engine that these readings are of."""
        self._follow(readings)
        try:
            yield ScenePacing(self)
        finally:
            self._follow(self._idle)

    def wait(self, resting: Callable[[], None]) -> None:
        """Wait as long as the card must rest; ``resting`` is called 20 times a second meanwhile."""
        began = now = self._monotonic()
        self.sample()
        if self._went is not None:
            share = max(self._thermal_share(), MOST_REST if self._not_kept else 0.0)
            worked = min(began - self._went, _LONGEST_WORK_S)
            self._owed = max(0.0, self._owed) + worked * share / (1 - share)
        while cause := self._cause(now - began):
            resting()
            self._alive()
            self._rest(SAMPLE_S)
            ended = self._monotonic()
            self.pauses.add(cause, now, ended)
            self._owed -= ended - now
            now = ended
            self.sample()
        self._went = now

    def sample(self) -> None:
        """Read power and temperature, unless they were read a moment ago."""
        with self._lock:
            now = self._monotonic()
            if now - self._sampled >= SAMPLE_S:
                self._read(now)

    @property
    def mean_power_w(self) -> float | None:
        """Over the last ten seconds; None without a budget, without a meter, or not yet known."""
        with self._lock:
            if not self._energies:
                return None
            (began, before), (ended, after) = self._energies[0], self._energies[-1]
            return (after - before) / (ended - began) if ended - began >= WINDOW_S else None

    @property
    def celsius(self) -> float | None:
        """Temperature of the card when it was read last."""
        return self._celsius

    def reason(self, cause: PauseCause) -> str:
        """In words, with the figures of now, what the governor does for the budget or the heat."""
        if cause == "power":
            mean = self.mean_power_w
            known = "is unknown" if mean is None else f"is {mean:.1f} W"
            return f"the power budget is {self.budget_w:g} W, and the ten-second mean {known}"
        celsius = "not measured" if self._celsius is None else f"{self._celsius:.1f} °C"
        slow, warm = self.thermal_limits or (math.nan, math.nan)
        limits = f"it is paused between batches above {slow:g} °C, and work stops at {warm:g} °C"
        return f"the card is at {celsius}; {limits}"

    def remarks(self) -> Iterator[str]:
        """Why the budget is not kept now, or kept more strictly than asked for."""
        if self.budget_w is None:
            return
        if self._meter.fell_silent:
            yield SILENT_METER
        elif not self._meter.measures:
            yield NO_METER
        if self._not_kept:
            yield NOT_KEPT

    def _cause(self, waited: float) -> PauseCause | None:
        if self._owed >= SAMPLE_S:
            return "temperature" if self._thermal_share() else "power"
        if self._allowed:
            self._not_kept = False
        elif not self._not_kept:
            self._not_kept = waited >= LONGEST_PAUSE_S
            return "power"
        return None

    def _thermal_share(self) -> float:
        return rest_share(self._celsius, self.thermal_limits)

    def _follow(self, readings: Readings) -> None:
        """Take what was drawn on one engine until now, and begin with another one."""
        with self._lock:
            self._read(self._monotonic())
            self._readings, self._celsius = readings, None
            self._followed = self._monotonic()
            self._read(self._followed)
        self._owed, self._went = 0.0, None

    def _read(self, now: float) -> None:
        if now - self._sampled > WINDOW_S:
            self._start_over()
        self._sampled = now
        card = self._readings()
        self._celsius = _newer(self._celsius, card)
        if self._budget is None:
            return
        joules = self._meter.joules(card, self._readings, now)
        if not self._meter.measures:
            self._energies.clear()
        if joules is None:
            self._allowed = True
            return
        self._allowed = self._budget.allows_work(joules, now)
        idle = self._readings is self._idle and now - self._followed >= WINDOW_S
        if self._not_kept or idle:  # no rest of the card would have changed it
            self._budget.forgive()
        if self._meter.measures:
            self._energies.append((now, joules))
        while len(self._energies) > 1 and now - self._energies[1][0] >= WINDOW_S:
            self._energies.popleft()

    def _start_over(self) -> None:
        """Nothing is known of the last ten seconds."""
        self._budget = None if self.budget_w is None else PowerBudget(self.budget_w)
        self._meter = EnergyMeter(self._watts)
        self._energies: deque[tuple[float, float]] = deque()  # seconds, joules
        self._allowed = True


class ScenePacing:
    """The governor during one scene; used by the thread that drives the engine."""

    def __init__(self, governor: Governor) -> None:
        self._governor = governor
        self._before = governor.pauses.total
        self._remarks: dict[str, None] = {}

    def wait(self, resting: Callable[[], None]) -> None:
        """Wait before a batch as long as the card must rest; see :meth:`Governor.wait`."""
        if self._governor.budget_w is None and self._governor.thermal_limits is None:
            return
        self._governor.wait(resting)
        self._remarks.update(dict.fromkeys(self._governor.remarks()))

    @property
    def remarks(self) -> tuple[str, ...]:
        """Why the budget was perhaps not kept, or kept more strictly than asked for."""
        return tuple(self._remarks)

    @property
    def paused_seconds(self) -> float:
        """For which the card rested since the scene began."""
        return self._governor.pauses.total - self._before


def _rail_power(budget_w: float | None) -> Callable[[], float | None]:
    return (lambda: None) if budget_w is None else Sensors(Path("/")).card_power


def _newer(celsius: float | None, card: CardReadings | None) -> float | None:
    """A sensor that falls silent keeps its value: what was hot is not known to have cooled."""
    if card is None:
        return None
    measured = card.temperature_celsius
    return celsius if measured is None or math.isnan(measured) else measured
