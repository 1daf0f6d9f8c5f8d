from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsw.config import TwinSettings
from flightsw.dimc.simulator.twin import (
    EQUILIBRIUM_CELSIUS,
    IDLE_WATTS,
    INFERENCE_WATTS,
    START_CELSIUS,
    THERMAL_SECONDS,
    CardHistory,
    CardTimeline,
    FrameTimes,
    LatencyDraw,
    MeanHistory,
    tile_latency_ms,
    to_card_ns,
)

SECOND = 1_000_000_000


def test_quantiles_are_those_of_the_reference_card() -> None:
    quantiles = tile_latency_ms(TwinSettings(), np.array([0.5, 0.95, 0.99, 1.0]))
    np.testing.assert_allclose(quantiles, [0.89, 1.38, 1.72, 2.04])


def test_drawn_latencies_have_the_mean_and_spread_of_the_reference_card() -> None:
    draw = LatencyDraw(TwinSettings(), tiles=1, cores=4)
    latencies = np.array([draw.next_ns() for _ in range(20_000)]) / 1e6
    assert latencies.mean() == pytest.approx(0.94, abs=0.005)
    assert latencies.std() == pytest.approx(0.21, abs=0.005)
    assert np.quantile(latencies, 0.95) == pytest.approx(1.38, abs=0.03)
    assert latencies.max() <= 2.04


def test_latencies_repeat_with_the_seed_and_differ_with_another() -> None:
    def first(seed: int) -> list[int]:
        draw = LatencyDraw(TwinSettings(seed=seed), tiles=1, cores=4)
        return [draw.next_ns() for _ in range(2000)]

    assert first(3) == first(3)
    assert first(3) != first(4)


def test_without_spread_a_batch_takes_its_tiles_times_the_latency() -> None:
    draw = LatencyDraw(TwinSettings(latency_ms=0.47, sigma_ms=0), tiles=4, cores=4)
    assert {draw.next_ns() for _ in range(1500)} == {1_880_000}


def test_one_core_takes_four_times_as_long_as_four() -> None:
    assert LatencyDraw(TwinSettings(sigma_ms=0), tiles=1, cores=1).next_ns() == 3_760_000


@given(st.floats(0.001, 1000), st.floats(0, 100), st.floats(0, 1))
def test_latency_is_positive_and_rises_with_its_probability(
    mean: float, sigma: float, probability: float
) -> None:
    settings = TwinSettings(latency_ms=mean, sigma_ms=sigma)
    low, high = tile_latency_ms(settings, np.array([probability * 0.9, probability]))
    assert 0 < low <= high


def test_frames_follow_each_other_without_gap_while_work_is_queued() -> None:
    timeline = CardTimeline(to_card_ns=60, from_card_ns=50)
    frames = [timeline.place(instant, 900, 0) for instant in (0, 10, 20)]
    assert frames == [
        FrameTimes(60, 960, 1010),
        FrameTimes(960, 1860, 1910),
        FrameTimes(1860, 2760, 2810),
    ]


def test_frame_that_is_alone_pays_for_both_transfers() -> None:
    timeline = CardTimeline(to_card_ns=60, from_card_ns=50)
    timeline.place(0, 900, 0)
    assert timeline.place(5000, 900, 0) == FrameTimes(5060, 5960, 6010)


def test_frame_ends_no_earlier_than_its_answer_is_computed() -> None:
    assert CardTimeline(0, 0).place(100, 900, 5000) == FrameTimes(100, 5000, 5000)


@pytest.mark.parametrize(
    ("tile", "nanoseconds"),
    [((224, 224, 4), 60_000), ((224, 224, 13), 195_000), ((32, 32, 4), 1224)],
)
def test_a_transfer_takes_time_in_proportion_to_the_bytes(
    tile: tuple[int, ...], nanoseconds: int
) -> None:
    assert to_card_ns(tile) == nanoseconds


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 2000), st.integers(0, 4000))))
def test_frames_never_overlap_whatever_is_submitted(frames: list[tuple[int, int, int]]) -> None:
    timeline, now, end = CardTimeline(60, 50), 0, 0
    for pause, latency, computing in frames:
        now += pause
        placed = timeline.place(now, latency, now + computing)
        assert placed.start_ns >= max(end, now + 60)
        assert placed.end_ns - placed.start_ns >= latency
        assert placed.ready_ns == placed.end_ns + 50
        end = placed.end_ns


def test_history_adds_up_busy_time_span_and_energy() -> None:
    history = CardHistory(opened_ns=0)
    history.record(FrameTimes(1 * SECOND, 3 * SECOND, 0))
    history.record(FrameTimes(4 * SECOND, 5 * SECOND, 0))
    assert history.busy_ns == 3 * SECOND
    assert MeanHistory([history]).span_ns == 4 * SECOND
    expected = 3 * INFERENCE_WATTS + 2 * IDLE_WATTS
    assert history.energy_joules(5 * SECOND) == pytest.approx(expected)
    assert history.energy_joules(7 * SECOND) == pytest.approx(expected + 2 * IDLE_WATTS)
    assert history.power_watts(5 * SECOND) == INFERENCE_WATTS
    assert history.power_watts(7 * SECOND) == IDLE_WATTS


def test_history_has_the_pauses_between_frames_and_none_before_the_first() -> None:
    history = CardHistory(opened_ns=0)
    for start, end in ((5, 8), (8, 9), (12, 13)):
        history.record(FrameTimes(start, end, end))
    assert history.pauses_ns == (0, 3)
    assert MeanHistory([history]).pauses_ns == (0, 3)
    assert MeanHistory([history, history]).pauses_ns == ()


def test_card_that_did_nothing_has_no_span_and_only_idle_energy() -> None:
    history = CardHistory(opened_ns=0)
    assert (history.busy_ns, MeanHistory([history]).span_ns) == (0, 0)
    assert history.energy_joules(10 * SECOND) == pytest.approx(10 * IDLE_WATTS)
    assert history.temperature_celsius(10 * SECOND) == START_CELSIUS


def test_card_of_four_instances_counts_its_idle_power_once() -> None:
    histories = [CardHistory(opened_ns=0) for _ in range(4)]
    histories[0].record(FrameTimes(1 * SECOND, 3 * SECOND, 0))
    histories[1].record(FrameTimes(2 * SECOND, 6 * SECOND, 0))
    card = MeanHistory(histories)
    assert card.busy_ns == 6 * SECOND // 4
    assert card.span_ns == 5 * SECOND
    share = (INFERENCE_WATTS - IDLE_WATTS) / 4
    assert card.energy_joules(8 * SECOND) == pytest.approx(8 * IDLE_WATTS + 6 * share)
    assert card.power_watts(5 * SECOND) == pytest.approx(IDLE_WATTS + share)
    assert card.power_watts(7 * SECOND) == pytest.approx(IDLE_WATTS)


def test_card_with_all_instances_busy_heats_and_draws_as_one_that_is_busy() -> None:
    one, four = CardHistory(opened_ns=0), [CardHistory(opened_ns=0) for _ in range(4)]
    for history in (one, *four):
        history.record(FrameTimes(0, 60 * SECOND, 0))
    card, now_ns = MeanHistory(four), 90 * SECOND
    assert card.energy_joules(now_ns) == pytest.approx(one.energy_joules(now_ns))
    assert card.temperature_celsius(now_ns) == pytest.approx(one.temperature_celsius(now_ns))
    assert (card.busy_ns, card.span_ns) == (one.busy_ns, MeanHistory([one]).span_ns)


def test_temperature_settles_at_the_reference_equilibrium_and_returns_when_idle() -> None:
    history = CardHistory(opened_ns=0)
    one = round(THERMAL_SECONDS * SECOND)
    history.record(FrameTimes(0, one, 0))
    rise = (EQUILIBRIUM_CELSIUS - START_CELSIUS) * (1 - math.exp(-1))
    assert history.temperature_celsius(one) == pytest.approx(START_CELSIUS + rise)
    history.record(FrameTimes(one, 10 * one, 0))
    assert history.temperature_celsius(10 * one) == pytest.approx(EQUILIBRIUM_CELSIUS, abs=0.01)
    assert history.temperature_celsius(30 * one) == pytest.approx(START_CELSIUS, abs=0.01)
