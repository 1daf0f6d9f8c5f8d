from __future__ import annotations

from pathlib import Path

import numpy as np

from deploy.model.dataset import T29UNU_TRAINING_COLUMNS, read_split, read_tiles, reflectance


def test_no_region_is_on_two_sides_of_the_split() -> None:
    split = read_split()
    assert not set(split.validation) & set(split.held_out)
    assert [
        split.part_of(region) for region in (split.validation[0], split.held_out[0], "new")
    ] == [
        "validation",
        "held_out",
        "training",
    ]


def test_no_data_becomes_reflectance_0_whatever_the_offset() -> None:
    assert reflectance(np.array([0, 1000, 6000], np.uint16), -1000).tolist() == [0.0, 0.0, 0.5]


def test_real_tiles_of_one_place_stay_together_and_the_test_half_stays_out(
    shared_data: Path,
) -> None:
    split = read_split()
    tiles = [(tile.name, tile.region, tile.valid.shape) for tile in read_tiles(shared_data)]
    parts = {split.part_of(region) for _, region, _ in tiles}
    assert parts == {"training", "validation", "held_out"}
    assert not [region for region in split.held_out if region not in {tile[1] for tile in tiles}]
    places = {region for name, region, _ in tiles if "ROIs1158_spring" in name and "_39_" in name}
    assert len(places) == 1
    assert {tile[1] for tile in tiles if "Boadella" in tile[0]} == {"Boadella"}
    assert [tile[2][1] for tile in tiles if tile[0].startswith("t29unu")] == [
        T29UNU_TRAINING_COLUMNS
    ]
