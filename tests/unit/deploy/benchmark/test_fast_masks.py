from __future__ import annotations

import dataclasses

from deploy.benchmark.fast_masks import decoded_fast
from deploy.model.dataset import Tile
from deploy.model.simulated import simulated_tiles

_NO_DATA_COLUMNS = 20


def _tile() -> Tile:
    (tile,) = simulated_tiles(1, side=400)
    valid = tile.valid[:, :390].copy()
    valid[:, :_NO_DATA_COLUMNS] = False
    return dataclasses.replace(tile, bands=tile.bands[:, :, :390], valid=valid, allowed=None)


def test_pixels_change_by_about_a_step_and_those_without_data_do_not() -> None:
    tile = _tile()
    change = decoded_fast(tile, 40) - tile.bands
    assert 1e-3 < change[:, :, 200:].std() < 4e-3
    assert not change[:, :, :_NO_DATA_COLUMNS].any()
