"""A mask judged by what people say."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.model.dataset import BANDS, Tile
from deploy.model.verdict import Verdict, judge

SIDE = 64


def _tile(blue: NDArray[np.float32], allowed: NDArray[np.float32]) -> Tile:
    bands = np.stack([blue] * 4)
    valid = np.ones(blue.shape, np.bool_)
    return Tile("simulated", "simulated", "l1c", 10, BANDS, bands, valid, allowed)


def _verdict(blue: NDArray[np.float32], allowed: NDArray[np.float32]) -> Verdict:
    """Of a mask that calls everything with a blue reflectance above 0.3 contaminated."""
    return judge(blue > 0.3, _tile(blue, allowed))


def _planes(*rows: tuple[float, ...]) -> NDArray[np.float32]:
    """``(3, SIDE, SIDE)``: each class in the quarters of the columns that its row names."""
    return np.repeat(np.array(rows, np.float32), SIDE // 4, axis=1)[:, None].repeat(SIDE, axis=1)


def test_found_cloud_and_missed_shadow_and_false_alarms_are_counted() -> None:
    blue = _planes((0.1, 0.5, 0.1, 0.5))[0]  # clear, cloud, shadow that is missed, false alarm
    verdict = _verdict(blue, _planes((1, 0, 0, 1), (0, 1, 0, 0), (0, 0, 1, 0)))
    assert verdict.iou == pytest.approx(1 / 3)
    assert verdict.f2 == pytest.approx(0.5)
    assert verdict.clear_kept == 0.5
    assert verdict.shadow_found == 0


def test_what_is_left_open_between_clear_and_cloud_is_not_counted() -> None:
    blue = _planes((0.1, 0.5, 0.5, 0.5))[0]
    verdict = _verdict(blue, _planes((1, 1, 0, 0), (1, 1, 0, 0), (0, 0, 1, 1)))
    assert verdict.shadow_found == 1
    assert isnan(verdict.f2)
    assert isnan(verdict.clear_kept)


def test_a_cloud_free_image_has_no_f2() -> None:
    blue = _planes((0.1, 0.1, 0.1, 0.5))[0]
    verdict = _verdict(blue, _planes((1,) * 4, (0,) * 4, (0,) * 4))
    assert verdict.clear_kept == 0.75
    assert isnan(verdict.f2)


def test_the_lenient_figure_leaves_out_two_pixels_along_the_edges_of_the_labels() -> None:
    allowed = _planes((1, 0, 0, 1), (0, 1, 1, 0), (0,) * 4)
    blue = np.where(allowed[1] > 0, 0.5, 0.1).astype(np.float32)
    blue[:, 16:18] = 0.1  # the mask begins two pixels late
    verdict = _verdict(blue, allowed)
    assert verdict.f2 < 1
    assert verdict.lenient_f2 == 1
    blue[:, 16:19] = 0.1
    assert _verdict(blue, allowed).lenient_f2 < 1
