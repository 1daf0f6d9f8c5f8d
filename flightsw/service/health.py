"""The state of health: checked every second, sent as housekeeping, acted upon when needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from flightsw.commanding.parameters import ParameterStore
from flightsw.commanding.sent_at import SentAtWindow
from flightsw.downlink.catalogue import ProductCatalogue
from flightsw.downlink.contact import ContactWindow
from flightsw.fdir.boots import Boot
from flightsw.fdir.modes import ModeMachine, SafeReason
from flightsw.fdir.monitors import (
    STALE_SECONDS,
    ClockMonitor,
    LimitCheck,
    LimitMonitor,
    Limits,
    LimitState,
    disk_limits,
    events_of,
    housekeeping_limits,
    power_limits,
    temperature_limits,
)
from flightsw.fdir.pacing import PacingWatch
from flightsw.fdir.watchdog import Heartbeats
from flightsw.jobs.queue import JobQueue
from flightsw.jobs.worker import Processing
from flightsw.model.slots import ModelSlots
from flightsw.pipeline.governor import Governor
from flightsw.pipeline.power_pacing import TOLERANCE
from flightsw.telemetry.reporting import ReportEvent
from flightsw.telemetry.sensors import SensorReadings, Sensors
from telecommands.dictionary import Housekeeping, TelecommandCounts
from telecommands.units import size

_CARD: Final = "card_temperature_c"
_DISK: Final = "disk_free_bytes"
_POWER: Final = "mean_power_w"


@dataclass(frozen=True)
class HealthSources:
    """The parts that housekeeping is read from."""

    boot: Boot
    started: float
    jobs: JobQueue
    catalogue: ProductCatalogue
    contact: ContactWindow
    parameters: ParameterStore
    slots: ModelSlots
    processing: Processing
    governor: Governor
    heartbeats: Heartbeats
    sensors: Sensors
    telecommands: Callable[[], TelecommandCounts]
    sent_at: SentAtWindow
    scheduled: Callable[[], int]
    packets_dropped: Callable[[], int]
    events_squelched: Callable[[], int]
    state_on_disk: Callable[[], bool]


@dataclass
class Health:
    """Watches limits and clock; used by the main thread.  ``cool``: work may continue."""

    sources: HealthSources
    modes: ModeMachine
    event: ReportEvent
    clock: Callable[[], int]
    monotonic: Callable[[], float]
    cool: threading.Event
    _card: LimitMonitor = field(default_factory=lambda: LimitMonitor(_CARD))
    _disk: LimitMonitor = field(default_factory=lambda: LimitMonitor(_DISK))
    _power: LimitMonitor = field(
        # A mean of ten seconds is known ten seconds after the first reading.
        default_factory=lambda: LimitMonitor(_POWER, stale_after_s=2 * STALE_SECONDS)
    )
    _pacing: PacingWatch = field(default_factory=PacingWatch)
    _clock: ClockMonitor = field(default_factory=ClockMonitor)
    _limits: dict[str, Limits] = field(default_factory=housekeeping_limits)
    _passive: dict[str, LimitMonitor] = field(default_factory=dict)
    _readings: SensorReadings | None = None
    _contact_open: bool = False

    def check(self) -> None:
        """Take readings, once a second, and react to values that left their limits."""
        now, sources = self.monotonic(), self.sources
        readings = self._readings = sources.sensors.read()
        self._check_card(now)
        self._check_power(now)
        self._check_pacing(now)
        self._check_disk(now, readings)
        self._check_limits(now)
        before = self.monotonic()
        if jump := self._clock.check(self.clock(), before, self.monotonic()):
            self.event("CLOCK_JUMPED", f"UTC jumped by {jump:+.3f} s", seconds=jump)
        is_open = sources.contact.state(now).open
        if self._contact_open and not is_open:
            spent = sources.contact.spent_bytes
            self.event(
                "CONTACT_CLOSED", f"the contact window closed after {size(spent)}", bytes=spent
            )
        self._contact_open = is_open

    def packet(self) -> Housekeeping:
        """Everything that housekeeping holds, now."""
        sources, now = self.sources, self.monotonic()
        readings = self._readings or sources.sensors.read()
        card, info = sources.processing.chain.readings, sources.processing.chain.info
        return Housekeeping(
            mode=self.modes.mode,
            uptime_s=now - sources.started,
            boots=sources.boot.number,
            unclean_boots=sources.boot.unclean_count,
            reset_cause=sources.boot.reset_cause,
            jobs=sources.jobs.counts(),
            products=sources.catalogue.counts(),
            telecommands=sources.telecommands(),
            clock_trusted=sources.sent_at.trusted(),
            sent_at_checked=sources.sent_at.checked,
            scheduled=sources.scheduled(),
            contact=sources.contact.state(now),
            packets_dropped=sources.packets_dropped(),
            events_squelched=sources.events_squelched(),
            card_temperature_c=card.temperature_celsius if card else None,
            card_power_w=(card.power_watts if card else None) or readings.card_power_w,
            card_energy_j=card.energy_joules if card else None,
            mean_power_w=sources.governor.mean_power_w,
            paused_s=sources.governor.pauses.total,
            paused_by=self._pacing.cause,
            cpu_temperature_c=readings.cpu_temperature_c,
            cpu_share=readings.cpu_share or 0.0,
            memory_bytes=readings.memory_bytes or 0,
            disk_free_bytes=readings.disk_free_bytes or 0,
            storage_used_bytes=sources.catalogue.bytes_on_board(),
            storage_quota_bytes=int(sources.parameters.number("storage.quota_bytes")),
            active_model=sources.slots.state().active,
            engine=info.name if info else "",
            device=info.device if info else "",
            device_state=sources.processing.device_state,
            heartbeats=sources.heartbeats.ages(now),
        )

    def _check_card(self, now: float) -> None:
        chain, number = self.sources.processing.chain, self.sources.parameters.number
        card = chain.readings
        limits = temperature_limits(
            number("fdir.warm_c"), number("fdir.hot_c"), number("fdir.hysteresis_c")
        )
        self.sources.governor.thermal_limits = number("fdir.slow_c"), number("fdir.warm_c")
        celsius = card.temperature_celsius if card else None
        # A real card that gives no temperature is a fault; the simulator may be without one.
        real = card is not None and chain.info is not None and not chain.info.simulated
        check = self._card.check(celsius, now, limits, expected=real)
        self._report(check)
        if check.level is LimitState.IN_LIMITS:
            self.cool.set()
            self.modes.cleared(SafeReason.TEMPERATURE)
            return
        self.cool.clear()
        if check.acts:
            if check.changed:
                self.event("TOO_HOT", f"the card is at {check.value:.1f} °C", value=check.value)
            self.modes.unsafe(SafeReason.TEMPERATURE, f"the card is at {check.value:.1f} °C")

    def _check_power(self, now: float) -> None:
        governor = self.sources.governor
        governor.sample()
        if governor.budget_w is not None:
            limits = power_limits(governor.budget_w, TOLERANCE)
            check = self._power.check(governor.mean_power_w, now, limits, expected=True)
            self._report(check)

    def _check_pacing(self, now: float) -> None:
        governor = self.sources.governor
        for change in self._pacing.check(governor.pauses.seconds, now):
            why = governor.reason(change.cause)
            self.event(
                "PACING_BEGUN" if change.begun else "PACING_ENDED",
                f"work is paused: {why}"
                if change.begun
                else f"work is no longer paused, after {change.seconds:.1f} s of pauses: {why}",
                cause=change.cause,
                seconds=change.seconds,
                budget_w=governor.budget_w,
                mean_power_w=governor.mean_power_w,
                card_temperature_c=governor.celsius,
            )

    def _check_disk(self, now: float, readings: SensorReadings) -> None:
        reserve = self.sources.parameters.number("storage.reserve_bytes")
        check = self._disk.check(readings.disk_free_bytes, now, disk_limits(reserve))
        self._report(check)
        if check.value is None or not check.acts:  # what acts has a value
            if self.sources.state_on_disk():
                self.modes.cleared(SafeReason.DISK_FULL)
            return
        if check.changed:
            self.event("DISK_FULL", f"only {size(check.value)} are free", value=check.value)
        self.modes.unsafe(SafeReason.DISK_FULL, f"only {size(check.value)} are free")

    def _check_limits(self, now: float) -> None:
        """Values with limits in the dictionary that nothing acts upon."""
        packet = self.packet()
        for name, limits in self._limits.items():
            if name != _CARD:
                monitor = self._passive.setdefault(name, LimitMonitor(name, passive=True))
                self._report(monitor.check(getattr(packet, name), now, limits))

    def _report(self, check: LimitCheck) -> None:
        for event, message in events_of(check):
            self.event(event, message, name=check.name, value=check.value)
