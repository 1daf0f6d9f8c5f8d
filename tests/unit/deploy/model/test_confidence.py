"""Temperature and calibration error."""

from __future__ import annotations

import numpy as np
import pytest

from deploy.model.confidence import Margins, expected_calibration_error, fitted_temperature, margins
from deploy.model.judged import JudgedTile
from deploy.model.networks import Network

PIXELS = 100_000
SIDE = 64


def _drawn(temperature: float) -> Margins:
    """Pixels whose margins are ``temperature`` times the logits of their true probability."""
    random = np.random.default_rng(7)
    logits = random.normal(0, 2, PIXELS)
    true = random.random(PIXELS) < 1 / (1 + np.exp(-logits))
    return Margins((logits * temperature).astype(np.float32), true)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_undoes_what_made_the_network_too_sure(temperature: float) -> None:
    known = _drawn(temperature)
    assert fitted_temperature(known) == pytest.approx(temperature, rel=0.05)
    raw = expected_calibration_error(known.probabilities(1.0), known.true)
    calibrated = expected_calibration_error(known.probabilities(temperature), known.true)
    assert calibrated < 0.01
    assert temperature == 1.0 or raw > 3 * calibrated


def test_a_probability_that_is_never_true_is_all_error() -> None:
    probabilities = np.full(10, 0.8, np.float32)
    error = expected_calibration_error(probabilities, np.zeros(10, np.bool_))
    assert error == pytest.approx(0.8)


def test_no_tiles_leave_the_logits_as_they_are() -> None:
    nothing = margins(Network(lambda windows: windows[:, :2], SIDE), [])
    assert fitted_temperature(nothing) == 1.0


def test_margins_are_of_valid_pixels_and_shadow_counts_as_contaminated() -> None:
    blue_against_green = Network(lambda windows: windows[:, :2], SIDE)
    bands = np.zeros((4, SIDE, SIDE), np.float32)
    bands[1] = 1.5
    valid = np.zeros((SIDE, SIDE), np.bool_)
    valid[0, :3] = True
    reference = np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE) % 3
    known = margins(
        blue_against_green, [JudgedTile("one", "one", "held_out", bands, valid, reference, True)]
    )
    assert known.found == pytest.approx([1.5] * 3, abs=1e-4)
    assert known.true.tolist() == [False, True, True]
