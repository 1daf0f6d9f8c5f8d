"""Where a release is most wrong, and the pictures of it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from deploy.model.contender import Contender
from deploy.model.dataset import BANDS, Tile
from deploy.model.failures import draw, worst_squares

SIDE = 448


def _tile(name: str, missed: int, alarmed: int) -> Tile:
    """Cloud in the last rows; blue says what the release finds: some rows less, or rows above."""
    cloud = np.zeros((SIDE, SIDE), np.bool_)
    cloud[SIDE // 2 :] = True
    found = cloud.copy()
    found[SIDE - missed :, : SIDE // 2] = False
    found[:alarmed, : SIDE // 2] = True
    bands = np.full((4, SIDE, SIDE), 0.1, np.float32)
    bands[0] = 0.1 + 0.3 * found
    allowed = np.stack([~cloud, cloud, np.zeros_like(cloud)]).astype(np.float32)
    return Tile(name, name, "l1c", 10, BANDS, bands, np.ones_like(cloud), allowed)


_RELEASE = Contender("blue", lambda tile: (tile.bands[0] > 0.2).astype(np.float32))


def test_the_worst_square_of_each_image_comes_in_the_order_of_its_faults() -> None:
    worst = worst_squares([_tile("alarms", 0, 56), _tile("misses", 112, 0)], _RELEASE)
    assert [(one.image, one.row, one.column) for one in worst] == [
        ("misses", 224, 0),
        ("alarms", 0, 0),
    ]
    assert (worst[0].missed, worst[0].false_alarms) == (0.5, 0)
    assert (worst[1].missed, worst[1].false_alarms) == (0, 0.25)


def test_pixels_that_people_leave_open_are_not_faults() -> None:
    tile = _tile("open", 112, 0)
    assert tile.allowed is not None
    tile.allowed[0, SIDE - 80 :] = 1  # clear or cloud
    [worst] = worst_squares([tile], _RELEASE)
    assert worst.missed == pytest.approx(32 / 144, abs=1e-4)


def test_the_picture_shows_what_is_missed_in_red_and_false_alarms_in_orange(
    tmp_path: Path,
) -> None:
    tiles = [_tile("alarms", 0, 56), _tile("misses", 112, 0)]
    path = tmp_path / "failures.jpg"
    draw(worst_squares(tiles, _RELEASE), tiles, _RELEASE, path)
    picture = cv2.imread(str(path))
    assert picture is not None
    height, width, _ = picture.shape
    assert (height, width) == (456, 456)
    missed, alarmed = picture[440, 100, ::-1].astype(int), picture[250, 340, ::-1].astype(int)
    assert missed[0] > 180
    assert missed[1] < 90
    assert alarmed[0] > 200
    assert 130 < alarmed[1] < 210
