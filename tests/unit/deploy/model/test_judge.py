"""A network judged by what people say."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.model.dataset import BANDS, Tile
from deploy.model.judge import judge
from deploy.model.networks import Network

SIDE = 64
BRIGHT = Network(lambda windows: np.stack((0.3 - windows[:, 0], windows[:, 0] - 0.3), axis=1), SIDE)
"""Calls everything with a blue reflectance above 0.3 contaminated."""


def _tile(blue: NDArray[np.float32], allowed: NDArray[np.float32]) -> Tile:
    bands = np.stack([blue] * 4)
    valid = np.ones(blue.shape, np.bool_)
    return Tile("simulated", "simulated", "l1c", 10, BANDS, bands, valid, allowed)


def _planes(*rows: tuple[float, ...]) -> NDArray[np.float32]:
    """``(3, SIDE, SIDE)``: each class in the quarters of the columns that its row names."""
    return np.repeat(np.array(rows, np.float32), SIDE // 4, axis=1)[:, None].repeat(SIDE, axis=1)


def test_found_cloud_and_missed_shadow_and_false_alarms_are_counted() -> None:
    blue = _planes((0.1, 0.5, 0.1, 0.5))[0]  # clear, cloud, shadow that is missed, false alarm
    verdict = judge(BRIGHT, _tile(blue, _planes((1, 0, 0, 1), (0, 1, 0, 0), (0, 0, 1, 0))))
    assert verdict.iou == pytest.approx(1 / 3)
    assert verdict.f2 == pytest.approx(0.5)
    assert verdict.clear_kept == 0.5
    assert verdict.shadow_found == 0


def test_what_is_left_open_between_clear_and_cloud_is_not_counted() -> None:
    blue = _planes((0.1, 0.5, 0.5, 0.5))[0]
    verdict = judge(BRIGHT, _tile(blue, _planes((1, 1, 0, 0), (1, 1, 0, 0), (0, 0, 1, 1))))
    assert verdict.shadow_found == 1
    assert isnan(verdict.f2)
    assert isnan(verdict.clear_kept)


def test_a_cloud_free_image_has_no_f2() -> None:
    verdict = judge(
        BRIGHT, _tile(_planes((0.1, 0.1, 0.1, 0.5))[0], _planes((1,) * 4, (0,) * 4, (0,) * 4))
    )
    assert verdict.clear_kept == 0.75
    assert isnan(verdict.f2)
