from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.model.calibrate import (
    TensorSample,
    least_error_range,
    margin_shortfall,
    percentile_range,
)
from deploy.model.networks import Network

STEPS = 255


def sample_of(values: np.ndarray) -> TensorSample:
    return TensorSample(float(values.min()), float(values.max()), values.astype(np.float32))


def squared_error(values: np.ndarray, low: float, high: float) -> float:
    """What 8 bits over a range lose of the values, by rounding and clipping."""
    step = (high - low) / STEPS
    kept = np.clip(np.rint((values - low) / step), 0, STEPS) * step + low
    return float(np.square(kept - values).mean())


def test_a_percentile_leaves_out_half_of_the_rest_at_each_end() -> None:
    values = np.arange(-500, 501, dtype=np.float64)
    assert percentile_range(sample_of(values), 100) == (-500, 500)
    assert percentile_range(sample_of(values), 98) == pytest.approx((-490, 490))
    assert percentile_range(sample_of(values), 90) == pytest.approx((-450, 450))


def test_a_single_extreme_value_does_not_widen_a_percentile_range() -> None:
    values = np.append(np.linspace(0, 1, 100_000), 1e6)
    assert percentile_range(sample_of(values), 99.99)[1] == pytest.approx(1, abs=1e-3)


@given(
    st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=50),
    st.floats(50, 100),
)
def test_every_range_holds_zero_and_stays_within_the_extremes(
    values: list[float], percentile: float
) -> None:
    sample = sample_of(np.array(values))
    for low, high in (percentile_range(sample, percentile), least_error_range(sample)):
        assert min(sample.low, 0) <= low <= 0 <= high <= max(sample.high, 1e-6)


def network_of(margin: Callable[[np.ndarray], np.ndarray]) -> Network:
    """Three classes; the first band is the margin of the second over the first."""

    def logits(windows: np.ndarray) -> np.ndarray:
        wanted = margin(windows[:, 0])
        return np.stack([np.full_like(wanted, 3), 3 + wanted, 2 + wanted], axis=1)

    return Network(logits)


def test_the_shortfall_is_what_the_margin_lost_where_the_original_is_in_doubt() -> None:
    windows = np.random.default_rng(2).uniform(-2, 2, (5, 4, 16, 16)).astype(np.float32)
    original = network_of(lambda margin: margin)
    short = network_of(lambda margin: margin - np.where(np.abs(margin) < 1, 0.125, 1.5))
    assert margin_shortfall(original, short, windows) == pytest.approx(0.125, abs=1e-5)
    assert margin_shortfall(original, original, windows) == 0
    certain = network_of(lambda margin: margin + 9)
    assert margin_shortfall(certain, short, windows) == 0


def test_values_spread_evenly_keep_the_whole_range() -> None:
    values = np.linspace(-2, 3, 10_000)
    assert least_error_range(sample_of(values)) == pytest.approx((-2, 3))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_rare_extreme_is_clipped_where_it_costs_less_than_coarse_steps(sign: int) -> None:
    values = np.append(np.linspace(0, sign, 1_000_000), 2.5 * sign)
    low, high = least_error_range(sample_of(values))
    assert 0.9 < max(-low, high) < 2.0
    assert squared_error(values, low, high) < squared_error(values, *sorted((0.0, 2.5 * sign)))


@given(st.integers(0, 2**32 - 1), st.floats(1, 6), st.booleans())
def test_the_least_error_is_no_larger_than_that_of_the_extremes(
    seed: int, tail: float, signed: bool
) -> None:
    random = np.random.default_rng(seed)
    values = random.standard_normal(2_000) ** 3 * tail
    sample = sample_of(values if signed else np.abs(values))
    kept = sample.values.astype(np.float64)
    found = squared_error(kept, *least_error_range(sample))
    assert found <= squared_error(kept, min(sample.low, 0), max(sample.high, 0))
