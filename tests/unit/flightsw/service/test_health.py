"""What the main thread checks once a second: power and pauses, with real sensors' files."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flightsw.commanding.parameters import ParameterStore
from flightsw.downlink.catalogue import ProductCatalogue
from flightsw.downlink.contact import ContactWindow
from flightsw.engines.engine import CardReadings
from flightsw.fdir.boots import Boot
from flightsw.fdir.modes import ModeMachine
from flightsw.fdir.pacing import QUIET_S
from flightsw.fdir.watchdog import Heartbeats
from flightsw.jobs.queue import JobQueue
from flightsw.pipeline.governor import Governor
from flightsw.service.health import Health, HealthSources
from flightsw.state import StateFile
from flightsw.telemetry.sensors import Sensors
from telecommands.dictionary import TelecommandCounts


class _Unit:
    """Its health, checked once a second; ``watts`` are those of the board's meter."""

    def __init__(self, folder: Path, state: StateFile, budget_w: float | None) -> None:
        self.now = 0.0
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self._chip = folder / "hwmon" / "hwmon0"
        sensors = Sensors(folder, hwmon=folder / "hwmon", thermal=folder / "thermal")
        self.governor = Governor(budget_w, watts=sensors.card_power, monotonic=lambda: self.now)
        sources = HealthSources(
            boot=Boot(1, 0, True, "power on", False),
            started=0.0,
            jobs=JobQueue(state, "sat-a", lambda: 10),
            catalogue=ProductCatalogue(state),
            contact=ContactWindow(state, "boot"),
            parameters=ParameterStore(state),
            slots=SimpleNamespace(state=lambda: SimpleNamespace(active="model")),  # type: ignore[arg-type]
            processing=SimpleNamespace(  # type: ignore[arg-type]
                chain=SimpleNamespace(readings=None, info=None), device_state="ready"
            ),
            governor=self.governor,
            heartbeats=Heartbeats(),
            sensors=sensors,
            telecommands=TelecommandCounts,
            sent_at=SimpleNamespace(trusted=lambda: True, checked=True),  # type: ignore[arg-type]
            scheduled=lambda: 0,
            packets_dropped=lambda: 0,
            events_squelched=lambda: 0,
            state_on_disk=lambda: True,
        )
        self.health = Health(
            sources,
            ModeMachine(),
            self._report,
            lambda: int(self.now * 1e9),
            lambda: self.now,
            threading.Event(),
        )

    def _report(self, name: str, message: str, /, **fields: Any) -> None:
        if fields.get("name") != "memory_bytes":  # that of all tests of this process
            self.events.append((name, message, fields))

    def measure(self, watts: float | None) -> None:
        self._chip.mkdir(parents=True, exist_ok=True)
        for name, text in {"name": "ina3221", "in1_label": "VDD_IN", "in1_input": "1000"}.items():
            (self._chip / name).write_text(text)
        current = self._chip / "curr1_input"
        current.write_text("asleep" if watts is None else str(round(watts * 1000)))

    def use(self, readings: CardReadings, *, simulated: bool) -> None:
        """An engine with these readings serves."""
        info = SimpleNamespace(simulated=simulated, name="dimc", device="metis-0:3:0")
        chain = SimpleNamespace(readings=readings, info=info)
        self.health.sources.processing.chain = chain  # type: ignore[assignment]

    def passes(self, seconds: int) -> list[str]:
        """The names of the events of these seconds."""
        known = len(self.events)
        for _ in range(seconds):
            self.now += 1
            self.health.check()
        return [name for name, _, _ in self.events[known:]]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateFile]:
    with StateFile(tmp_path / "state") as opened:
        yield opened


def test_a_mean_power_above_the_budget_is_a_limit_with_hysteresis(
    tmp_path: Path, state: StateFile
) -> None:
    unit = _Unit(tmp_path, state, 10.0)
    unit.measure(10.1)
    assert unit.passes(30) == []
    assert unit.health.packet().mean_power_w == pytest.approx(10.1)
    unit.measure(12.0)
    assert unit.passes(12) == ["LIMIT_EXCEEDED"]
    assert unit.events[-1][2]["name"] == "mean_power_w"
    unit.measure(10.15)
    assert unit.passes(30) == []
    unit.measure(9.0)
    assert unit.passes(12) == ["LIMIT_CLEARED"]


def test_a_real_card_without_a_temperature_is_reported_and_a_simulated_one_is_not(
    tmp_path: Path, state: StateFile
) -> None:
    unit = _Unit(tmp_path, state, None)
    silent = CardReadings(None, None, None, None, None)
    unit.use(silent, simulated=True)
    assert unit.passes(30) == []
    unit.use(silent, simulated=False)
    assert unit.passes(30) == ["SENSOR_SILENT"]
    assert unit.events[-1][1] == "card_temperature_c is not measured"
    unit.use(CardReadings(None, None, None, None, 50.0), simulated=False)
    assert unit.passes(30) == ["SENSOR_BACK"]


def test_a_meter_that_falls_silent_while_there_is_a_budget_is_reported(
    tmp_path: Path, state: StateFile
) -> None:
    unit = _Unit(tmp_path, state, 10.0)
    unit.measure(9.0)
    assert unit.passes(15) == []
    unit.measure(None)
    names = unit.passes(21)
    assert names == ["SENSOR_SILENT", "SENSOR_SILENT"]  # card_power_w, and what the budget limits
    assert [message.split(" ")[0] for _, message, _ in unit.events] == [
        "card_power_w",
        "mean_power_w",
    ]
    unit.measure(9.0)
    assert unit.passes(12) == ["SENSOR_BACK", "SENSOR_BACK"]


def test_a_budget_that_nothing_measures_is_reported_once(tmp_path: Path, state: StateFile) -> None:
    assert _Unit(tmp_path, state, 10.0).passes(60) == ["SENSOR_SILENT"]


def test_without_a_budget_no_meter_is_missed(tmp_path: Path, state: StateFile) -> None:
    unit = _Unit(tmp_path, state, None)
    assert unit.passes(60) == []
    packet = unit.health.packet()
    assert (packet.mean_power_w, packet.paused_s, packet.paused_by) == (None, 0.0, "nothing")


def test_pauses_have_an_event_with_the_figures_and_one_when_they_have_ceased(
    tmp_path: Path, state: StateFile
) -> None:
    unit = _Unit(tmp_path, state, 10.0)
    unit.measure(9.5)
    unit.passes(12)
    unit.governor.pauses.add("power", 12.0, 12.4)
    assert unit.passes(1) == ["PACING_BEGUN"]
    _, message, fields = unit.events[-1]
    assert message == ("work is paused: the power budget is 10 W, and the ten-second mean is 9.5 W")
    assert (fields["cause"], fields["budget_w"]) == ("power", 10.0)
    assert fields["mean_power_w"] == pytest.approx(9.5)
    packet = unit.health.packet()
    assert (packet.paused_s, packet.paused_by) == (pytest.approx(0.4), "power")
    for second in range(20):
        unit.governor.pauses.add("power", 13.0 + second, 13.1 + second)
        assert unit.passes(1) == []
    assert unit.passes(int(QUIET_S)) == ["PACING_ENDED"]
    assert unit.events[-1][2]["seconds"] == pytest.approx(2.4)
    assert unit.health.packet().paused_by == "nothing"


def test_the_governor_follows_the_parameters_that_are_thermal_limits(
    tmp_path: Path, state: StateFile
) -> None:
    unit = _Unit(tmp_path, state, None)
    unit.passes(1)
    assert unit.governor.thermal_limits == (75.0, 80.0)
    unit.health.sources.parameters.set("fdir.slow_c", 70.0)
    unit.passes(1)
    assert unit.governor.thermal_limits == (70.0, 80.0)
    assert "is paused between batches above 70 °C, and work stops at 80 °C" in unit.governor.reason(
        "temperature"
    )
