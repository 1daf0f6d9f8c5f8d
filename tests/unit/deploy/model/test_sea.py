"""Simulated sea, to be taught from."""

from __future__ import annotations

import numpy as np
import pytest

from deploy.model.dataset import BANDS, Tile
from deploy.model.sea import SIDE, sea_tiles

COUNT = 12


@pytest.fixture(scope="module")
def tiles() -> list[Tile]:
    return list(sea_tiles(COUNT))


def test_all_of_the_sea_is_clear_and_levels_alternate(tiles: list[Tile]) -> None:
    assert [tile.level for tile in tiles] == ["l1c", "l2a"] * (COUNT // 2)
    for tile in tiles:
        assert tile.bands.shape == (len(BANDS), SIDE, SIDE)
        assert tile.valid.all()
        assert tile.allowed is not None
        np.testing.assert_array_equal(tile.allowed.mean(axis=(1, 2)), (1, 0, 0))


def test_some_seas_are_dark_in_the_near_infrared_and_glint_makes_others_grey(
    tiles: list[Tile],
) -> None:
    medians = [np.median(tile.bands, axis=(1, 2)) for tile in tiles if tile.level == "l2a"]
    near_infrared = [float(median[3]) for median in medians]
    over_blue = [float(median[3] / median[0]) for median in medians]
    assert min(near_infrared) < 0.02
    assert max(near_infrared) > 0.04
    assert min(over_blue) < 0.5
    assert max(over_blue) > 0.7
    assert int(np.argmax(over_blue)) == int(np.argmax(near_infrared))


def test_whitecaps_are_few_and_brighter_than_the_water_in_every_band(tiles: list[Tile]) -> None:
    foam = [(tile.bands > np.median(tile.bands) + 0.15).all(axis=0) for tile in tiles]
    shares = [plane.mean() for plane in foam]
    assert max(shares) > 0
    assert max(shares) < 0.01


def test_sea_with_the_band_of_high_cloud_is_l1c_and_a_seed_gives_other_sea() -> None:
    bands = (*BANDS, "B10", "B11")
    (first,), (second,) = (list(sea_tiles(1, seed, bands)) for seed in (1, 2))
    other = list(sea_tiles(2, 1, bands))[1]
    assert (first.names, other.level) == (bands, "l1c")
    assert first.of(("B11",)).shape == (1, SIDE, SIDE)
    assert (first.bands != second.bands).any()
