"""Rests between batches, on a simulated card: its clock, power and temperature."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flightsw.config import PipelineSettings
from flightsw.engines.engine import CardReadings, Tiles
from flightsw.pipeline import governor as governing
from flightsw.pipeline import process_scene
from flightsw.pipeline.governor import (
    LONGEST_PAUSE_S,
    MOST_REST,
    NO_METER,
    NOT_KEPT,
    SILENT_METER,
    Governor,
    PauseLog,
    rest_share,
)
from flightsw.pipeline.power_pacing import TOLERANCE, WINDOW_S
from tests.unit.flightsw.small_parts import ArithmeticEngine, ArrayScene

SLOW_C, WARM_C = 75.0, 80.0
THERMAL_S = 60.0


class _Card:
    """Draws and warms as it works or rests; its clock advances only then."""

    def __init__(
        self,
        *,
        batch_s: float = 0.02,
        busy_w: float = 10.1,
        rest_w: float = 4.4,
        busy_c: float = 51.0,
        rest_c: float = 39.0,
        has_meter: bool = True,
    ) -> None:
        self.batch_s = batch_s
        self.watts = {True: busy_w, False: rest_w}
        self.settles_at = {True: busy_c, False: rest_c}
        self.celsius: float | None = rest_c
        self.has_meter = has_meter
        self.now = self.joules = 0.0
        self.power = rest_w
        self.drawn = [(0.0, 0.0)]

    def monotonic(self) -> float:
        return self.now

    def work(self) -> None:
        self._pass(self.batch_s, True)

    def rest(self, seconds: float) -> None:
        self._pass(seconds, False)

    def readings(self) -> CardReadings:
        joules = self.joules if self.has_meter else None
        return CardReadings(0, 0, joules, None, self.celsius)

    def _pass(self, seconds: float, works: bool) -> None:
        self.now += seconds
        self.power = self.watts[works]
        self.joules += self.power * seconds
        self.drawn.append((self.now, self.joules))
        if self.celsius is not None:
            goal = self.settles_at[works]
            self.celsius = goal + (self.celsius - goal) * math.exp(-seconds / THERMAL_S)

    def highest_mean_w(self) -> float:
        """Over any window of ten seconds, or over all if that is shorter."""
        seconds, joules = map(np.array, zip(*self.drawn, strict=True))
        starts = np.arange(0.0, max(seconds[-1] - WINDOW_S, 0.01), 0.01)
        spans = np.interp(starts + WINDOW_S, seconds, joules) - np.interp(starts, seconds, joules)
        return float(spans.max()) / WINDOW_S


def _governor(card: _Card, budget_w: float | None = None, watts: float | None = None) -> Governor:
    return Governor(
        budget_w, watts=lambda: watts, monotonic=card.monotonic, rest=card.rest, idle=card.readings
    )


def _works(governor: Governor, card: _Card, batches: int) -> tuple[float, tuple[str, ...]]:
    """The share of the time that it worked, and the remarks."""
    began = card.now
    with governor.scene(card.readings) as pacing:
        for _ in range(batches):
            pacing.wait(lambda: None)
            card.work()
        paused, remarks = pacing.paused_seconds, pacing.remarks
    assert paused == pytest.approx(card.now - began - batches * card.batch_s)
    return batches * card.batch_s / (card.now - began), remarks


@hypothesis_settings(max_examples=25)
@given(
    budget=st.floats(5.0, 12.0),
    busy=st.floats(8.0, 15.0),
    has_meter=st.booleans(),
    demand=st.lists(st.tuples(st.integers(1, 300), st.floats(0.0, 9.0)), min_size=1, max_size=3),
)
def test_the_mean_of_any_ten_seconds_is_within_the_tolerance(
    budget: float, busy: float, has_meter: bool, demand: list[tuple[int, float]]
) -> None:
    """However the work comes, scene after scene, by the card's own meter or by the board's."""
    card = _Card(busy_w=busy, has_meter=has_meter)
    governor = Governor(
        budget,
        watts=lambda: card.power,
        monotonic=card.monotonic,
        rest=card.rest,
        idle=card.readings,
    )
    for batches, gap in demand:
        with governor.scene(card.readings) as pacing:
            for _ in range(batches):
                pacing.wait(lambda: None)
                card.work()
        card.rest(gap)
        governor.sample()
    batch = busy * card.batch_s / WINDOW_S
    assert card.highest_mean_w() <= budget * (1 + TOLERANCE) + batch


def test_what_is_not_limited_is_not_paused() -> None:
    card = _Card()
    assert _works(_governor(card), card, 500) == (pytest.approx(1.0), ())
    assert _works(_governor(card, 10.2), card, 500) == (pytest.approx(1.0), ())


def test_the_mean_power_is_known_after_ten_seconds() -> None:
    card = _Card()
    governor = _governor(card, 8.0)
    with governor.scene(card.readings) as pacing:
        pacing.wait(lambda: None)
        assert governor.mean_power_w is None
        for _ in range(2000):
            pacing.wait(lambda: None)
            card.work()
        assert governor.mean_power_w == pytest.approx(8.0, rel=TOLERANCE)
    assert "8 W" in governor.reason("power")
    assert governor.pauses.seconds["temperature"] == 0


def test_a_budget_below_the_power_at_rest_slows_work_and_ends_nothing() -> None:
    card = _Card(rest_w=12.0, busy_w=15.0)
    governor = _governor(card, 10.0)
    with governor.scene(card.readings) as pacing:
        pacing.wait(lambda: None)
        card.work()
        while NOT_KEPT not in pacing.remarks:
            pacing.wait(lambda: None)
            card.work()
        assert card.now == pytest.approx(LONGEST_PAUSE_S, abs=1)
        assert governor.pauses.seconds["power"] == pytest.approx(LONGEST_PAUSE_S, abs=0.2)
        began, batches = card.now, 200
        for _ in range(batches):
            pacing.wait(lambda: None)
            card.work()
        share = batches * card.batch_s / (card.now - began)
        assert share == pytest.approx(1 - MOST_REST, rel=0.05)
        card.watts = {True: 9.0, False: 4.4}  # what drew so much is off
    assert _works(governor, card, 1000)[0] == pytest.approx(1.0, abs=0.05)
    assert list(governor.remarks()) == []


def test_what_others_drew_before_a_scene_does_not_delay_it() -> None:
    card = _Card(rest_w=30.0)
    governor = _governor(card, 10.2)
    for _ in range(60):
        card.rest(1.0)
        governor.sample()
    card.watts[False] = 4.4
    card.rest(1.0)
    governor.sample()
    assert _works(governor, card, 100)[0] == pytest.approx(1.0)


def test_a_board_s_meter_that_falls_silent_counts_with_its_highest_and_ends_nothing() -> None:
    card = _Card(has_meter=False)
    answers = True
    governor = Governor(
        9.0,
        watts=lambda: card.power if answers else None,
        monotonic=card.monotonic,
        rest=card.rest,
    )
    with governor.scene(card.readings) as pacing:
        for _ in range(10):
            pacing.wait(lambda: None)
            card.work()
        assert pacing.remarks == ()
        answers = False
        for _ in range(200):
            pacing.wait(lambda: None)
            card.work()
        assert pacing.remarks == (SILENT_METER, NOT_KEPT)
        assert governor.mean_power_w is None
    assert governor.pauses.total > LONGEST_PAUSE_S


def test_a_budget_that_nothing_measures_is_remarked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(governing.Sensors, "card_power", lambda _: None)
    numbers = np.full((4, 300, 300), 3000, np.uint16)
    chosen = PipelineSettings(device="cpu", power_budget_w=5.0)
    summary = process_scene(ArrayScene(numbers), ArithmeticEngine(), chosen)
    assert NO_METER in summary.remarks
    assert summary.paused_seconds == 0


class _Driven(ArithmeticEngine):
    """Works as long as the simulated card does."""

    def __init__(self, card: _Card) -> None:
        super().__init__()
        self._card = card
        self.readings = card.readings  # type: ignore[method-assign]

    def push(self, tiles: Tiles) -> NDArray[np.int8] | None:
        self._card.work()
        return super().push(tiles)


def test_a_scene_waits_and_its_mask_is_the_same() -> None:
    numbers, chosen = np.full((4, 640, 640), 3000, np.uint16), PipelineSettings(device="cpu")
    free = process_scene(ArrayScene(numbers), ArithmeticEngine(), chosen)
    card = _Card(batch_s=1.0)
    held = process_scene(ArrayScene(numbers), _Driven(card), chosen, governor=_governor(card, 8.0))
    assert free.paused_seconds == 0
    assert held.paused_seconds == pytest.approx(card.now - 9)
    assert 9 / card.now == pytest.approx((8.0 - 4.4) / (10.1 - 4.4), abs=0.1)
    assert held.pixels_by_class == free.pixels_by_class


# --- Temperature ------------------------------------------------------------------------------

_celsius = st.floats(-40.0, 125.0)


@given(cool=_celsius, hot=_celsius, slow=_celsius, warm=_celsius)
def test_the_share_of_rest_grows_with_the_temperature_and_is_bounded(
    cool: float, hot: float, slow: float, warm: float
) -> None:
    cool, hot = sorted((cool, hot))
    shares = rest_share(cool, (slow, warm)), rest_share(hot, (slow, warm))
    assert 0 <= shares[0] <= shares[1] <= MOST_REST
    if hot <= slow or slow >= warm:
        assert shares == (0, 0)
    elif cool >= warm:
        assert shares == (MOST_REST, MOST_REST)
    else:
        assert shares[1] - shares[0] <= MOST_REST * (hot - cool) / (warm - slow) + 1e-9


def test_without_a_temperature_or_limits_there_is_no_rest() -> None:
    assert rest_share(None, (SLOW_C, WARM_C)) == rest_share(100.0, None) == 0


def _hottest(limits: tuple[float, float] | None) -> tuple[float, list[float]]:
    """In half an hour of work in a place too warm for it, and the shares of rest of ten seconds."""
    card = _Card(batch_s=0.1, busy_c=95.0, rest_c=70.0)
    governor, hottest, shares = _governor(card), 0.0, []
    governor.thermal_limits = limits
    with governor.scene(card.readings) as pacing:
        while card.now < 1800:
            began, paused = card.now, pacing.paused_seconds
            while card.now < began + 10:
                pacing.wait(lambda: None)
                card.work()
                hottest = max(hottest, card.celsius or 0)
            shares.append((pacing.paused_seconds - paused) / (card.now - began))
    return hottest, shares


def test_rests_hold_the_card_below_the_limit_that_it_would_reach_without_chattering() -> None:
    assert _hottest(None)[0] > WARM_C
    hottest, shares = _hottest((SLOW_C, WARM_C))
    assert SLOW_C < hottest < WARM_C
    assert shares[0] == 0
    settled = shares[-60:]
    assert min(settled) > 0.3
    assert all(abs(after - before) < 0.05 for before, after in pairwise(settled))


def test_a_sensor_that_falls_silent_while_the_card_is_hot_keeps_it_resting() -> None:
    card = _Card(busy_c=79.0, rest_c=79.0)
    governor = _governor(card)
    governor.thermal_limits = SLOW_C, WARM_C
    with governor.scene(card.readings) as pacing:
        for reading in (79.0, None, math.nan):
            card.celsius, paused = reading, pacing.paused_seconds
            for _ in range(50):
                pacing.wait(lambda: None)
                card.work()
                card.celsius = reading
            assert pacing.paused_seconds > paused + 1
        assert "79.0 °C" in governor.reason("temperature")
    assert governor.pauses.seconds["power"] == 0


def test_limits_that_are_equal_switch_pacing_off() -> None:
    assert _hottest((WARM_C, WARM_C))[0] > WARM_C


def test_what_two_threads_waited_together_counts_once() -> None:
    log = PauseLog()
    log.add("temperature", 0.0, 1.0)
    log.add("power", 0.5, 2.0)
    log.add("temperature", 0.0, 1.5)
    log.add("temperature", 5.0, 6.0)
    assert log.seconds == {"temperature": 2.0, "power": 1.0}
    assert log.total == 3.0
