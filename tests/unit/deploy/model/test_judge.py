"""The rows of a model card."""

from __future__ import annotations

import numpy as np
import pytest

from deploy.model.contender import Contender
from deploy.model.dataset import BANDS, Tile
from deploy.model.judge import labelled_rows, option_rows

SIDE = 64


def _half_cloud() -> Tile:
    allowed = np.zeros((3, SIDE, SIDE), np.float32)
    allowed[1, :, : SIDE // 2] = 1
    allowed[0, :, SIDE // 2 :] = 1
    valid = np.ones((SIDE, SIDE), np.bool_)
    bands = np.full((4, SIDE, SIDE), 0.2, np.float32)
    return Tile("half", "cloudn_chips_east", "l1c", 10, BANDS, bands, valid, allowed)


def _falling(tile: Tile) -> np.ndarray:
    """Sure of cloud on the left, and less so with every column."""
    row = np.linspace(1, 0, SIDE, dtype=np.float32)
    return np.broadcast_to(row, tile.valid.shape).copy()


def test_a_network_without_fault_has_the_best_figures_and_says_which_part_it_saw() -> None:
    [row] = labelled_rows([_half_cloud()], [Contender("falling", _falling)])
    assert (row.image, row.part, row.network) == ("half", "held_out", "falling")
    assert (row.f2, row.iou, row.clear_kept) == (1, 1, 1)
    assert row.shadow_found is None


def test_a_lower_threshold_and_a_buffer_give_clear_ground_away() -> None:
    rows = {
        (row.threshold_percent, row.buffer_pixels): row
        for row in option_rows([_half_cloud()], Contender("falling", _falling), 1.0)
    }
    assert rows[None, 0].clear_kept == 1
    assert rows[40, 0].clear_kept < 1
    assert rows[None, 3].clear_kept == pytest.approx(1 - 3 / 32)
    assert rows[60, 0].f2 < 1


def test_the_temperature_moves_what_a_threshold_away_from_one_half_finds() -> None:
    hot, cold = (
        next(
            row.clear_kept
            for row in option_rows([_half_cloud()], Contender("falling", _falling), temperature)
            if (row.threshold_percent, row.buffer_pixels) == (40, 0)
        )
        for temperature in (3.0, 1.0)
    )
    assert hot < cold


def test_an_image_without_cloud_has_no_options() -> None:
    tile = _half_cloud()
    assert tile.allowed is not None
    tile.allowed[:] = np.array([1, 0, 0], np.float32)[:, None, None]
    assert list(option_rows([tile], Contender("falling", _falling), 1.0)) == []
