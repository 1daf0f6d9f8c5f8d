from __future__ import annotations

import numpy as np
import pytest

from deploy.model.dataset import BANDS
from deploy.model.strange import FAULTS
from flightsw.errors import UsageError

_SIX = (*BANDS, "B11", "B12")


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_changes_an_image_and_is_the_same_with_the_same_seed(kind: str) -> None:
    bands = np.random.default_rng(1).uniform(0.02, 0.3, (6, 60, 80)).astype(np.float32)
    found, again = (FAULTS[kind](bands, _SIX, np.random.default_rng(2)) for _ in range(2))
    assert (found.shape, found.dtype) == (bands.shape, np.float32)
    np.testing.assert_array_equal(found, again)
    assert (found != bands).any(axis=0).mean() > 0.3
    four = FAULTS[kind](bands[:4], BANDS, np.random.default_rng(2))
    np.testing.assert_array_equal(four, found[:4])


def test_smoke_hides_less_in_the_short_wave_infrared_and_ice_is_dark_there() -> None:
    ground = np.full((6, 90, 90), 0.3, np.float32)
    smoke = np.abs(FAULTS["smoke"](ground, _SIX, np.random.default_rng(3)) - ground)
    assert smoke[4:].mean() < 0.3 * smoke[:4].mean()
    ice = FAULTS["sea ice"](ground, _SIX, np.random.default_rng(3))
    assert ice[4:].max() < 0.15
    assert ice[0].max() > 0.6


def test_what_ice_and_ash_look_like_in_a_band_of_the_atmosphere_is_not_known() -> None:
    bands = np.full((2, 30, 30), 0.3, np.float32)
    with pytest.raises(UsageError, match="B10"):
        FAULTS["sea ice"](bands, ("B02", "B10"), np.random.default_rng(1))


def test_saturated_pixels_are_a_third_to_two_thirds_in_all_bands() -> None:
    bands = np.full((4, 90, 90), 0.1, np.float32)
    for seed in range(20):
        random = np.random.default_rng(seed)
        found = FAULTS["saturated, a third to two thirds"](bands, BANDS, random)
        assert 0.32 < (found > 6).all(axis=0).mean() < 0.68
        assert ((found > 6).all(axis=0) == (found > 6).any(axis=0)).all()
