from __future__ import annotations

import numpy as np
import pytest

from deploy.model.strange import FAULTS


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_changes_an_image_and_is_the_same_with_the_same_seed(kind: str) -> None:
    bands = np.random.default_rng(1).uniform(0.02, 0.3, (4, 60, 80)).astype(np.float32)
    found, again = (FAULTS[kind](bands, np.random.default_rng(2)) for _ in range(2))
    assert (found.shape, found.dtype) == (bands.shape, np.float32)
    np.testing.assert_array_equal(found, again)
    assert (found != bands).any(axis=0).mean() > 0.3


def test_saturated_pixels_are_a_third_to_two_thirds_in_all_bands() -> None:
    bands = np.full((4, 90, 90), 0.1, np.float32)
    for seed in range(20):
        found = FAULTS["saturated, a third to two thirds"](bands, np.random.default_rng(seed))
        assert 0.32 < (found > 6).all(axis=0).mean() < 0.68
        assert ((found > 6).all(axis=0) == (found > 6).any(axis=0)).all()
