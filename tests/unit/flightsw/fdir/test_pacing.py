"""Pauses of work: when they begin and end to be reported."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from flightsw.fdir.pacing import QUIET_S, PacingChange, PacingWatch


def _check(watch: PacingWatch, now: float, power: float, heat: float = 0.0) -> list[PacingChange]:
    return [*watch.check({"power": power, "temperature": heat}, now)]


def test_pacing_begins_with_the_first_pause_and_ends_after_thirty_seconds_without() -> None:
    watch = PacingWatch()
    assert _check(watch, 0, 0) == []
    assert watch.cause == "nothing"
    assert _check(watch, 1, 0.2) == [PacingChange("power", True, 0.0)]
    assert _check(watch, 20, 0.7) == []
    assert watch.cause == "power"
    assert _check(watch, 20 + QUIET_S - 1, 0.7) == []
    assert _check(watch, 20 + QUIET_S, 0.7) == [PacingChange("power", False, 0.7)]
    assert watch.cause == "nothing"
    assert _check(watch, 60, 1.0) == [PacingChange("power", True, 0.0)]
    assert _check(watch, 90, 1.0) == [PacingChange("power", False, 1.0 - 0.7)]


def test_the_temperature_goes_before_the_budget_and_each_is_reported() -> None:
    watch = PacingWatch()
    _check(watch, 0, 1.0)
    assert _check(watch, 1, 1.5, heat=0.1) == [PacingChange("temperature", True, 0.0)]
    assert watch.cause == "temperature"
    assert _check(watch, 2 + QUIET_S, 9.0, heat=0.1) == [PacingChange("temperature", False, 0.1)]
    assert watch.cause == "power"


@given(pauses=st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=20))
def test_two_beginnings_are_at_least_thirty_seconds_apart(pauses: list[tuple[int, bool]]) -> None:
    watch, now, seconds, begun = PacingWatch(), 0, 0.0, []
    for gap, paused in pauses:
        for _ in range(gap):
            now += 1
            begun += [now for change in _check(watch, now, seconds) if change.begun]
        seconds += 0.05 * paused
    assert all(after - before >= QUIET_S for before, after in pairwise(begun))
