"""What is drawn, and whether it is within a budget."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from flightsw.engines.engine import CardReadings
from flightsw.pipeline.power_pacing import EnergyMeter, PowerBudget

STEP_S = 0.01
BUSY_W, REST_W = 10.1, 4.4


def _readings(joules: float | None) -> CardReadings:
    return CardReadings(
        busy_ns=0, span_ns=0, energy_joules=joules, power_watts=None, temperature_celsius=None
    )


def _board(watts: Sequence[float | None]) -> EnergyMeter:
    left = iter(watts)
    return EnergyMeter(lambda: next(left))


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


def test_what_is_forgiven_delays_work_no_longer_than_what_the_store_holds() -> None:
    rule = PowerBudget(10.0)
    rule.allows_work(0.0, 0.0)
    assert not rule.allows_work(1000.0, 10.0)
    assert not rule.allows_work(1000.0, 11.0)
    rule.forgive()
    assert rule.allows_work(1000.0, 11.2)


def test_a_card_without_a_meter_is_measured_by_the_board_over_time() -> None:
    meter = _board([10.0, 20.0, 30.0])
    assert [meter.joules(None, "board", second) for second in (0.0, 1.0, 3.0)] == [0.0, 20.0, 80.0]


def test_while_the_board_s_meter_is_silent_the_highest_power_that_it_measured_counts() -> None:
    meter = _board([10.0, 30.0, 10.0, None, None, 10.0, 10.0])
    joules = [meter.joules(None, "board", second) for second in (0.0, 1.0, 2.0, 3.0, 5.0)]
    assert joules == [0.0, 30.0, 40.0, 70.0, 130.0]
    assert meter.fell_silent
    assert not meter.measures
    assert [meter.joules(None, "board", second) for second in (6.0, 7.0)] == [140.0, 150.0]
    assert meter.measures


def test_the_card_s_own_figure_comes_first() -> None:
    meter = EnergyMeter(lambda: 99.0)
    assert meter.joules(_readings(7.0), "card", 0.0) == 0.0
    assert meter.joules(_readings(9.0), "card", 1.0) == 2.0


def test_energies_of_two_engines_do_not_compare() -> None:
    meter = EnergyMeter(lambda: None)
    meter.joules(_readings(500.0), "one", 0.0)
    assert meter.joules(_readings(510.0), "one", 1.0) == 10.0
    assert meter.joules(_readings(900.0), "other", 2.0) == 20.0  # as it was drawn before
    assert meter.joules(_readings(905.0), "other", 3.0) == 25.0
    assert meter.joules(_readings(1.0), "other", 4.0) == 30.0  # opened again


def test_a_card_s_meter_that_falls_silent_is_not_an_engine_that_has_none() -> None:
    meter = EnergyMeter(lambda: None)
    meter.joules(_readings(0.0), "card", 0.0)
    meter.joules(_readings(10.0), "card", 1.0)
    assert meter.joules(_readings(None), "card", 2.0) == 20.0
    assert meter.fell_silent
    other = EnergyMeter(lambda: None)
    other.joules(_readings(0.0), "card", 0.0)
    assert other.joules(None, "card", 1.0) is None  # closed
    assert other.joules(None, "processor", 2.0) is None
    assert not other.fell_silent
