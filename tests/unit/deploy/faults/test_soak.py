from __future__ import annotations

import numpy as np
import pytest

from deploy.faults.soak import slope


def test_the_slope_of_a_line_is_exact() -> None:
    at = np.linspace(0.1, 0.5, 400)
    assert slope(at, 200 + 3 * at).value == pytest.approx(3)
    assert slope(at, 200 + 3 * at).uncertainty == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("true", [0.0, 5.0])
def test_the_true_slope_lies_within_the_uncertainty_about_nineteen_times_of_twenty(
    true: float,
) -> None:
    at = np.linspace(0.1, 0.5, 400)
    hits = 0
    for seed in range(200):
        noise = np.random.default_rng(seed).normal(0, 1, at.size)
        found = slope(at, true * at + noise)
        hits += abs(found.value - true) < found.uncertainty
    assert 180 <= hits <= 199
