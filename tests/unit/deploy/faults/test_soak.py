from __future__ import annotations

import numpy as np
import pytest

from deploy.faults.soak import Slope, slope, verdict


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


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Slope(0.4, 0.5), "flat"),
        (Slope(-3.0, 0.5), "flat"),
        (Slope(1.6, 0.5), "grows"),
        (Slope(26.0, 36.0), "not decided"),
        (Slope(0.9, 0.5), "not decided"),
    ],
)
def test_what_the_uncertainty_does_not_decide_is_not_called_flat(found: Slope, said: str) -> None:
    assert verdict(found).startswith(said)
