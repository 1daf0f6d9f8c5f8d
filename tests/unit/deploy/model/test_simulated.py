"""Simulated tiles, to be taught from."""

from __future__ import annotations

import numpy as np

from deploy.model.dataset import BANDS
from deploy.model.simulated import simulated_tiles


def test_simulated_tiles_know_the_class_of_every_pixel_and_alternate_between_levels() -> None:
    tiles = list(simulated_tiles(2, side=128, bands=(*BANDS, "B11")))
    assert [tile.level for tile in tiles] == ["l1c", "l2a"]
    for tile in tiles:
        assert tile.four_bands.shape == (4, 128, 128)
        coarse = tile.of(("B11",))[0, ::2, ::2]
        np.testing.assert_array_equal(tile.of(("B11",))[0], coarse.repeat(2, 0).repeat(2, 1))
        assert tile.allowed is not None
        np.testing.assert_array_equal(tile.allowed.sum(axis=0), 1)
