from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsw.bench.statistics import (
    added_jitter_ms,
    cadence_jitter_ms,
    energy_figures,
    timing_figures,
    timings,
    transfer_split,
)

_DURATIONS = st.lists(st.integers(0, 10**9), min_size=1, max_size=200)


def test_known_samples_give_the_figures_worked_out_by_hand() -> None:
    # 1, 2, 3, 4, 10 ms: mean 4, variance (9 + 4 + 1 + 0 + 36) / 5 = 10.
    # Linear interpolation: P95 lies at 0.95 * 4 = 3.8, that is 4 + 0.8 * 6; P99 at 3.96.
    one = timings({"accelerator": [1_000_000, 2_000_000, 3_000_000, 4_000_000, 10_000_000]})
    timing = one["accelerator"]
    assert (timing.count, timing.mean, timing.p50, timing.max) == (5, 4.0, 3.0, 10.0)
    assert timing.p95 == pytest.approx(8.8)
    assert timing.p99 == pytest.approx(9.76)
    assert timing.sigma == pytest.approx(10**0.5)


def test_a_tile_takes_the_sum_of_its_own_stages() -> None:
    found = timings({"preparation": [1_000_000, 5_000_000], "accelerator": [4_000_000, 2_000_000]})
    assert found["tile"].p50 == 6.0
    assert found["tile"].max == 7.0  # not 5 + 4: the slow stages were of different tiles


def test_without_tiles_there_are_no_figures() -> None:
    assert timings({}) == {}
    assert timings({"accelerator": []}) == {}


@given(_DURATIONS)
def test_any_samples_have_the_statistics_of_numpy(nanoseconds: list[int]) -> None:
    timing = timings({"accelerator": nanoseconds})["tile"]
    milliseconds = np.array(nanoseconds) / 1e6
    assert timing.count == len(nanoseconds)
    assert timing.mean == pytest.approx(np.mean(milliseconds))
    assert timing.sigma == pytest.approx(np.std(milliseconds))
    for found, percent in ((timing.p50, 50), (timing.p95, 95), (timing.p99, 99), (timing.max, 100)):
        assert found == pytest.approx(np.percentile(milliseconds, percent))


def test_the_sigma_of_a_call_is_that_of_all_its_tiles_together() -> None:
    # Two calls of four tiles, 8 ms and 16 ms: each tile is charged 2 or 4 ms.
    found = timing_figures(timings({"accelerator": [2_000_000] * 4 + [4_000_000] * 4}), batch=4)
    assert found["accelerator_sigma"] == 1.0
    assert found["call_sigma"] == 4.0


def test_what_is_not_computing_is_transfer() -> None:
    split = transfer_split(accelerator_ns=4_200_000, busy_ns=3_760_000, tiles=4)
    assert split == pytest.approx({"compute_mean": 0.94, "transfer_mean": 0.11})


@given(_DURATIONS, st.integers(0, 10**8))
def test_a_constant_transfer_is_not_jitter(drawn: list[int], transfer: int) -> None:
    latencies = np.array(drawn, np.int64)
    assert added_jitter_ms(latencies + transfer, latencies) == 0.0


def test_jitter_is_the_sigma_of_what_was_added_and_not_of_the_sum() -> None:
    drawn = np.array([1_000_000, 9_000_000], np.int64)
    measured = drawn + np.array([100_000, 300_000])
    assert added_jitter_ms(measured, drawn) == pytest.approx(0.1)


def test_energy_is_given_by_tile_and_by_reference_scene() -> None:
    found = energy_figures(joules=42.4, seconds=4.2, tiles=2809, scenes=1.0)
    assert found["tile_energy"] == pytest.approx(15.09, abs=0.01)
    assert found["scene_energy"] == 42.4
    assert found["inference_power"] == pytest.approx(10.1, abs=0.01)


def test_pauses_that_are_alike_are_not_jitter_of_the_cadence() -> None:
    assert cadence_jitter_ms([40_000] * 9, batch=1) == 0.0


def test_a_pause_is_shared_by_the_tiles_of_its_frame() -> None:
    assert cadence_jitter_ms([0, 800_000], batch=1) == pytest.approx(0.4)
    assert cadence_jitter_ms([0, 800_000], batch=4) == pytest.approx(0.1)
