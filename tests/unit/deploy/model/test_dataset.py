from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.model.dataset import T29UNU_TRAINING_COLUMNS, read_split, read_tiles, reflectance
from flightsw.errors import UsageError


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
    assert "filename.tif" not in {tile[0] for tile in tiles}  # uniform noise
    assert {tile[1] for tile in tiles if "Boadella" in tile[0]} == {"Boadella"}
    assert [tile[2][1] for tile in tiles if tile[0].startswith("t29unu")] == [
        T29UNU_TRAINING_COLUMNS
    ]


def _own_tiles(folder: Path, entry: str, **arrays: NDArray[np.uint16]) -> Path:
    """A folder with one file of somebody's own tiles, and a table that names it."""
    np.savez(folder / "mine.npz", **arrays)
    table = folder / "sources.toml"
    table.write_text(f'[[source]]\nfiles = "mine.npz"\nlevel = "l2a"\n{entry}\n')
    return table


def test_somebody_s_own_tiles_are_read_with_their_offset_order_and_labels(tmp_path: Path) -> None:
    bands = np.full((4, 8, 8), 3000, np.uint16)
    bands[3] = 9000
    table = _own_tiles(
        tmp_path,
        'offset = -1000\norder = ["B08", "B04", "B03", "B02"]\n'
        'classes = { 0 = ["clear"], 7 = ["cloud", "shadow"] }',
        bands=bands,
        label=np.array([[0] * 8] * 4 + [[7] * 8] * 4, np.uint16),
    )
    (tile,) = read_tiles(tmp_path, table)
    np.testing.assert_allclose(tile.four_bands[:, 0, 0], [0.8, 0.2, 0.2, 0.2])
    assert tile.allowed is not None
    assert tile.allowed[:, [0, 7], 0].tolist() == [[1, 0], [0, 1], [0, 1]]


def test_images_that_a_table_leaves_out_are_not_read(tmp_path: Path) -> None:
    bands = np.full((3, 4, 8, 8), 3000, np.uint16)
    names = np.array(["one", "noise", "two"])
    table = _own_tiles(tmp_path, 'without = ["noise"]', bands=bands, name=names)
    assert [tile.name for tile in read_tiles(tmp_path, table)] == ["one", "two"]


def test_further_bands_of_an_image_are_repeated_to_its_size(tmp_path: Path) -> None:
    coarse = np.array([[[1000, 2000], [3000, 4000]], [[500] * 2] * 2], np.uint16)
    entry = 'further = { coarse = ["B11", "B12"] }'
    table = _own_tiles(tmp_path, entry, bands=np.full((4, 4, 4), 3000, np.uint16), coarse=coarse)
    (tile,) = read_tiles(tmp_path, table)
    assert tile.names == ("B02", "B03", "B04", "B08", "B11", "B12")
    np.testing.assert_allclose(tile.of(("B11",))[0, :, 0], [0.1, 0.1, 0.3, 0.3])
    np.testing.assert_allclose(tile.of(("B11",))[0, 0], [0.1, 0.1, 0.2, 0.2])


@pytest.mark.parametrize("shape", [(1, 2, 2), (2, 3, 3), (2, 2, 4), (2, 0, 0)])
def test_further_bands_that_do_not_fit_the_image_are_refused(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    table = _own_tiles(
        tmp_path,
        'further = { coarse = ["B11", "B12"] }',
        bands=np.ones((4, 4, 4), np.uint16),
        coarse=np.ones(shape, np.uint16),
    )
    with pytest.raises(UsageError, match=r"has coarse of shape .*one plane for each of B11, B12"):
        list(read_tiles(tmp_path, table))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('order = ["B02", "B03", "B04"]', "lacks B08"),
        ('order = ["B01", "B02", "B03", "B04", "B08"]', "has 4 bands, but its order names 5"),
        ("sensor = 2", "unknown field"),
    ],
)
def test_tiles_that_are_not_as_stated_are_refused(tmp_path: Path, entry: str, message: str) -> None:
    table = _own_tiles(tmp_path, entry, bands=np.ones((4, 8, 8), np.uint16))
    with pytest.raises(UsageError, match=message):
        list(read_tiles(tmp_path, table))


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has none of the images"):
        list(read_tiles(tmp_path))
