"""Networks against the teacher on tiles kept out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.model.kept_out import (
    AnsweredTile,
    answered_tiles,
    border_row,
    calibration,
    difference,
    interval,
    precision,
    scale_rows,
)
from deploy.model.label import TaughtTile
from deploy.model.networks import Network
from deploy.model.scores import confusion

SIDE = 96
BRIGHT = Network(lambda windows: np.stack((0.3 - windows[:, 0], windows[:, 0] - 0.3), 1) * 99, SIDE)
"""Calls everything with a blue reflectance above 0.3 contaminated, and is sure of it."""


def _tile(blue: NDArray[np.float32], cloud: NDArray[np.bool_], metres: int = 10) -> TaughtTile:
    probabilities = np.stack([~cloud, cloud, np.zeros_like(cloud)]).astype(np.float32)
    return TaughtTile(
        name="simulated",
        region="simulated",
        part="held_out",
        ground_sample_distance=metres,
        bands=np.stack([blue] * 4),
        valid=np.ones(blue.shape, np.bool_),
        probabilities=probabilities,
    )


def _wrong_along_the_border() -> TaughtTile:
    blue = np.full((SIDE, SIDE), 0.6, np.float32)
    cloud = np.zeros((SIDE, SIDE), np.bool_)
    cloud[32:-32, 32:-32] = True
    return _tile(blue, cloud)


def test_the_border_is_judged_apart_from_the_interior() -> None:
    row = border_row(answered_tiles([_wrong_along_the_border()], {"bright": BRIGHT}), "bright")
    assert row.interior.value == 1
    assert row.border.value == 0


def test_each_scale_has_its_own_row_and_number_of_tiles() -> None:
    blue, cloud = np.full((SIDE, SIDE), 0.6, np.float32), np.ones((SIDE, SIDE), np.bool_)
    tiles = [_tile(blue, cloud, metres) for metres in (10, 10, 30)]
    rows = list(scale_rows(answered_tiles(tiles, {"bright": BRIGHT}), ["bright"]))
    assert [(row.metres, row.tiles) for row in rows] == [(10, 2), (30, 1)]
    assert [row.f2.value for row in rows] == [1, 1]


def test_a_sure_network_that_is_wrong_half_the_time_is_badly_calibrated() -> None:
    blue = np.full((SIDE, SIDE), 0.6, np.float32)
    cloud = np.zeros((SIDE, SIDE), np.bool_)
    cloud[::2] = True
    answered = answered_tiles([_tile(blue, cloud)], {"bright": BRIGHT})
    found = calibration(answered, "bright", temperature=1000.0)
    assert found.raw == pytest.approx(0.5, abs=0.01)
    assert found.calibrated < 0.03


def test_precisions_are_compared_tile_by_tile() -> None:
    tile = _wrong_along_the_border()
    all_of_it, none = (np.full((SIDE, SIDE), one, np.float32) for one in (0.9, 0.1))
    same = AnsweredTile(tile, {"int8": all_of_it, "fp32": all_of_it})
    other = AnsweredTile(tile, {"int8": all_of_it, "fp32": none})
    found = precision([same, same, same, other], "int8", "fp32")
    assert (found.tiles, found.mean, found.worst) == (4, 0.75, 0.0)


def test_the_interval_of_tiles_that_differ_is_wider_than_that_of_equal_tiles() -> None:
    true = np.ones(100, np.bool_)
    good, bad = confusion(true, true, true), confusion(~true, true, true)
    wide = interval([good, bad, good, bad], lambda count: count.agreement)
    assert wide.value == 0.5
    assert wide.low < 0.5 < wide.high
    narrow = interval([good] * 4, lambda count: count.agreement)
    assert (narrow.low, narrow.value, narrow.high) == (1, 1, 1)


def test_a_network_that_is_better_on_each_tile_is_better_beyond_doubt_however_tiles_differ() -> (
    None
):
    """The draws have the same tiles for both, so that the spread of the tiles does not count."""
    true = np.ones(100, np.bool_)

    def found(right: int) -> NDArray[np.bool_]:
        return np.asarray(np.arange(100) < right)

    rights = (5, 40, 70, 95)
    first = [confusion(found(one), true, true) for one in rights]
    second = [confusion(found(one + 5), true, true) for one in rights]
    wide = interval(first, lambda count: count.agreement)
    gained = difference(first, second, lambda count: count.agreement)
    assert wide.high - wide.low > 0.2
    assert (gained.low, gained.value, gained.high) == pytest.approx((0.05, 0.05, 0.05))
