from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsw.fdir.monitors import (
    STALE_SECONDS,
    ClockMonitor,
    LimitMonitor,
    Limits,
    LimitState,
    disk_limits,
    events_of,
    housekeeping_limits,
    power_limits,
    temperature_limits,
)

_TEMPERATURE = temperature_limits(80, 85, 5)
_IN, _WARNING, _CRITICAL, _STALE = LimitState


def test_a_temperature_goes_through_its_states_with_hysteresis() -> None:
    monitor = LimitMonitor("cpu")
    celsius = [79.9, 80, 76, 75, 85, 81, 80, 75.1, 74, 90, 70]
    states = [monitor.check(value, n, _TEMPERATURE).state for n, value in enumerate(celsius)]
    assert states == [
        _IN, _WARNING, _WARNING, _IN, _CRITICAL, _CRITICAL, _WARNING, _WARNING, _IN, _CRITICAL, _IN,
    ]  # fmt: skip


def test_a_disk_is_full_until_more_than_the_reserve_is_free() -> None:
    monitor = LimitMonitor("disk")
    limits = disk_limits(1000)
    states = [
        monitor.check(free, n, limits).state
        for n, free in enumerate([5000, 2000, 1000, 1049, 1050, 2049, 2050])
    ]
    assert states == [_IN, _WARNING, _CRITICAL, _CRITICAL, _WARNING, _WARNING, _IN]


def test_changes_are_reported_with_the_state_before() -> None:
    monitor = LimitMonitor("cpu")
    first = monitor.check(20, 0, _TEMPERATURE)
    assert (first.before, first.state, first.changed) == (_STALE, _IN, True)
    assert not monitor.check(21, 1, _TEMPERATURE).changed
    hot = monitor.check(99, 2, _TEMPERATURE)
    assert (hot.name, hot.value, hot.before, hot.state, hot.changed) == (
        "cpu", 99, _IN, _CRITICAL, True,
    )  # fmt: skip


@pytest.mark.parametrize("silence", [None, math.nan])
def test_a_silent_sensor_becomes_stale_and_keeps_its_level(silence: float | None) -> None:
    monitor = LimitMonitor("cpu")
    monitor.check(90, 0, _TEMPERATURE)
    assert monitor.check(silence, STALE_SECONDS, _TEMPERATURE).state is _CRITICAL
    stale = monitor.check(silence, STALE_SECONDS + 0.1, _TEMPERATURE)
    assert (stale.state, stale.level, stale.acts) == (_STALE, _CRITICAL, True)
    back = monitor.check(81, 100, _TEMPERATURE)
    assert (back.before, back.state) == (_STALE, _CRITICAL)


def test_a_sensor_that_never_spoke_is_stale_without_a_change_or_an_action() -> None:
    look = LimitMonitor("cpu").check(None, 5, _TEMPERATURE)
    assert (look.state, look.changed, look.acts, look.value) == (_STALE, False, False, None)


def test_new_limits_take_effect_immediately_even_for_a_silent_sensor() -> None:
    monitor = LimitMonitor("cpu")
    monitor.check(90, 0, _TEMPERATURE)
    assert monitor.check(None, 1, temperature_limits(100, 110, 5)).state is _IN


def test_a_passive_monitor_evaluates_and_does_not_act() -> None:
    passive, active = LimitMonitor("a", passive=True), LimitMonitor("b")
    limits = Limits(1, 2)
    assert passive.check(3, 0, limits).state is _CRITICAL
    assert not passive.check(3, 0, limits).acts
    assert active.check(3, 0, limits).acts


@given(
    st.lists(st.floats(-50, 150), min_size=1, max_size=30),
    st.floats(0, 20),
    st.floats(20, 100),
    st.floats(0, 20),
)
def test_at_the_critical_limit_it_is_critical_and_well_below_it_is_not(
    values: list[float], hysteresis: float, warning: float, gap: float
) -> None:
    limits = Limits(warning, warning + gap, hysteresis)
    monitor = LimitMonitor("x")
    for n, value in enumerate(values):
        state = monitor.check(value, n, limits).state
        if value >= warning + gap:
            assert state is _CRITICAL
        if value < warning - hysteresis - 1e-9:
            assert state is _IN
        if value >= warning:
            assert state is not _IN


@given(st.lists(st.floats(74.99, 80), min_size=1, max_size=30))
def test_noise_within_the_hysteresis_changes_the_state_at_most_twice(values: list[float]) -> None:
    monitor = LimitMonitor("x")
    monitor.check(20, 0, _TEMPERATURE)
    changes = [
        look.state
        for look in (
            monitor.check(max(value, 75.01), n, _TEMPERATURE) for n, value in enumerate(values)
        )
        if look.changed
    ]
    assert changes in ([], [_WARNING])


def test_the_dictionarys_limits_of_housekeeping_are_found() -> None:
    limits = housekeeping_limits()
    assert limits["cpu_temperature_c"] == Limits(85.0, 95.0, 5.0)
    assert limits["card_power_w"] == Limits(15.0, None, 1.0)
    assert limits["memory_bytes"] == Limits(2e9, None)
    assert "uptime_s" not in limits
    assert LimitMonitor("w").check(99, 0, limits["card_power_w"]).state is _WARNING


@pytest.mark.parametrize("jump", [-3600.0, -1.5, 1.5, 1e9])
def test_a_jump_of_the_clock_is_reported_once_in_seconds(jump: float) -> None:
    monitor = ClockMonitor()
    start = 1_800_000_000 * 10**9
    assert monitor.check(start, 50.0, 50.0) is None
    assert monitor.check(start + 10**9, 51.0, 51.0) is None
    moved = start + 2 * 10**9 + int(jump * 1e9)
    assert monitor.check(moved, 52.0, 52.0) == pytest.approx(jump)
    assert monitor.check(moved + 10**9, 53.0, 53.0) is None


def test_a_slow_drift_is_not_a_jump() -> None:
    monitor = ClockMonitor()
    assert all(monitor.check(int(n * 1.0005e9), float(n), n) is None for n in range(10_000))


def test_a_wait_between_two_clocks_is_not_a_jump_and_hides_none() -> None:
    monitor = ClockMonitor()
    assert monitor.check(0, 0.0, 0.0) is None
    assert monitor.check(7 * 10**9, 1.0, 7.0) is None  # UTC was read late in six seconds
    assert monitor.check(8 * 10**9, 8.0, 14.0) is None  # and early
    assert monitor.check(3620 * 10**9, 15.0, 21.0) == pytest.approx(3600, abs=15)


def test_a_sensor_that_falls_silent_and_comes_back_has_its_events() -> None:
    monitor, limits = LimitMonitor("card"), temperature_limits(75, 85, 5)
    readings = [(0, None), (1, 60.0), (5, None), (12, None), (13, None), (14, 80.0), (15, 60.0)]
    events = [
        [name for name, _ in events_of(monitor.check(value, second, limits))]
        for second, value in readings
    ]
    assert events == [
        [], [], [], ["SENSOR_SILENT"], [], ["SENSOR_BACK", "LIMIT_EXCEEDED"], ["LIMIT_CLEARED"],
    ]  # fmt: skip


def test_power_about_its_limit_is_reported_once_and_cleared_below_the_hysteresis() -> None:
    monitor, limits = LimitMonitor("card_power_w"), housekeeping_limits()["card_power_w"]
    watts = [14.9, 15.1, 14.9, 15.2, 14.1, 13.9, 14.9]
    events = [
        [name for name, _ in events_of(monitor.check(value, second, limits))]
        for second, value in enumerate(watts)
    ]
    assert events == [[], ["LIMIT_EXCEEDED"], [], [], [], ["LIMIT_CLEARED"], []]


def test_an_expected_value_that_never_comes_is_reported_and_one_that_comes_late_too() -> None:
    monitor, limits = LimitMonitor("power"), power_limits(10.0, 0.02)
    values = [(None, 0), (None, 10), (None, 11), (None, 12), (10.3, 13)]
    checks = [
        monitor.check(value, 1000 + second, limits, expected=True) for value, second in values
    ]
    assert [[name for name, _ in events_of(check)] for check in checks] == [
        [], [], ["SENSOR_SILENT"], [], ["SENSOR_BACK", "LIMIT_EXCEEDED"],
    ]  # fmt: skip
    assert [message for _, message in events_of(checks[2])] == ["power is not measured"]
