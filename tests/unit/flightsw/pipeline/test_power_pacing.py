"""Pauses that hold the mean power within a budget."""

from __future__ import annotations

import time
from itertools import chain, count, repeat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsw.config import PipelineSettings
from flightsw.engines.engine import CardReadings
from flightsw.errors import InferenceFailed
from flightsw.pipeline import power_pacing, process_scene
from flightsw.pipeline.power_pacing import (
    NO_METER,
    SILENT_METER,
    TOLERANCE,
    WINDOW_S,
    EnergyMeter,
    PowerBudget,
    PowerPacing,
)
from tests.unit.flightsw.small_parts import ArithmeticEngine, ArrayScene

STEP_S = 0.01
BUSY_W, REST_W = 10.1, 4.4


def _readings(joules: float | None) -> CardReadings:
    return CardReadings(
        busy_ns=0, span_ns=0, energy_joules=joules, power_watts=None, temperature_celsius=None
    )


@given(
    budget=st.floats(5.0, 12.0),
    demand=st.lists(st.tuples(st.booleans(), st.integers(50, 800)), min_size=1, max_size=8),
)
def test_the_mean_of_any_ten_seconds_is_within_the_tolerance(
    budget: float, demand: list[tuple[bool, int]]
) -> None:
    """However the work comes: bursts after rests, or without end."""
    rule, joules, drawn = PowerBudget(budget), 0.0, [0.0]
    for wanted in (wanted for wanted, steps in demand for _ in range(steps)):
        works = rule.allows_work(joules, len(drawn) * STEP_S) and wanted
        joules += (BUSY_W if works else REST_W) * STEP_S
        drawn.append(joules)
    window = round(WINDOW_S / STEP_S)
    energies = np.array(drawn)
    spans = energies[window:] - energies[:-window] if len(energies) > window else energies[-1:]
    most = budget * (1 + TOLERANCE) * WINDOW_S + 2 * BUSY_W * STEP_S
    assert spans.max() <= most


def test_a_budget_above_the_busy_power_never_pauses() -> None:
    rule = PowerBudget(BUSY_W + 0.1)
    assert all(rule.allows_work(BUSY_W * STEP_S * n, STEP_S * n) for n in range(5000))


def test_a_budget_between_rest_and_work_gives_its_share_of_the_time() -> None:
    rule, joules, worked = PowerBudget(8.0), 0.0, 0
    for n in range(100_000):
        works = rule.allows_work(joules, n * STEP_S)
        worked += works
        joules += (BUSY_W if works else REST_W) * STEP_S
    assert worked / 100_000 == pytest.approx((8.0 - REST_W) / (BUSY_W - REST_W), abs=0.01)


def test_a_card_without_a_meter_is_measured_by_the_board_over_time() -> None:
    watts = iter([10.0, 20.0, 30.0])
    meter = EnergyMeter(lambda: None, lambda: next(watts))
    assert [meter.joules(second) for second in (0.0, 1.0, 3.0)] == [0.0, 15.0, 65.0]


def test_while_the_meter_is_silent_the_highest_power_that_it_measured_counts() -> None:
    watts = iter([10.0, 30.0, 10.0, None, None, 10.0])
    meter = EnergyMeter(lambda: None, lambda: next(watts))
    joules = [meter.joules(second) for second in (0.0, 1.0, 2.0, 3.0, 5.0, 6.0)]
    assert joules == [0.0, 20.0, 40.0, 60.0, 120.0, 140.0]
    assert meter.fell_silent


def test_a_meter_that_falls_silent_is_remarked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    watts = chain([5.0], repeat(None))
    monkeypatch.setattr(power_pacing.Sensors, "card_power", lambda _: next(watts))
    numbers = np.full((4, 640, 640), 3000, np.uint16)
    chosen = PipelineSettings(device="cpu", power_budget_w=5.0)
    summary = process_scene(ArrayScene(numbers), ArithmeticEngine(), chosen)
    assert SILENT_METER in summary.remarks
    assert NO_METER not in summary.remarks


def test_the_card_s_own_figure_comes_first() -> None:
    assert EnergyMeter(lambda: _readings(7.0), lambda: 99.0).joules(0.0) == 7.0


class _Thirsty(ArithmeticEngine):
    """Draws 30 J a tile."""

    def readings(self) -> CardReadings:
        return _readings(30.0 * self.tiles_seen)


def test_a_scene_waits_and_its_mask_is_the_same() -> None:
    numbers = np.full((4, 640, 640), 3000, np.uint16)  # nine tiles, 270 J of the 200 J in store
    free = process_scene(ArrayScene(numbers), _Thirsty(), PipelineSettings(device="cpu"))
    held = process_scene(
        ArrayScene(numbers), _Thirsty(), PipelineSettings(device="cpu", power_budget_w=1000.0)
    )
    assert free.paused_seconds == 0
    assert held.paused_seconds > 0
    assert held.pixels_by_class == free.pixels_by_class


def test_a_budget_that_nothing_measures_is_remarked_on() -> None:
    numbers = np.full((4, 300, 300), 3000, np.uint16)
    chosen = PipelineSettings(device="cpu", power_budget_w=5.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(power_pacing.Sensors, "card_power", lambda _: None)
        summary = process_scene(ArrayScene(numbers), ArithmeticEngine(), chosen)
    assert NO_METER in summary.remarks


def test_a_budget_below_the_power_at_rest_ends_the_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power_pacing, "_LONGEST_PAUSE_S", 0.05)
    ticks = count()
    meter = EnergyMeter(lambda: _readings(1e6 * next(ticks) * time.monotonic()), lambda: None)
    pacing = PowerPacing(1.0, meter)
    pacing.wait()
    with pytest.raises(InferenceFailed, match=r"pipeline\.power_budget_w"):
        pacing.wait()
