"""How far a first look is above the masks is measured on what the files would show."""

from __future__ import annotations

import shutil
from pathlib import Path

import glymur
import numpy as np

from deploy.model.dataset import Tile
from deploy.model.first_look import halved, look_at, write_test
from deploy.model.networks import Network
from flightsw.model.description import FirstLookTest
from flightsw.model.package import load_package, shipped_package


def test_an_image_is_reduced_as_a_file_is_decoded_at_half_its_resolution(tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(1000, 9000, (61, 84)).astype(np.uint16)
    path = tmp_path / "band.jp2"
    glymur.Jp2k(str(path), data=pixels, numres=2)
    found = halved(halved(pixels.astype(np.float32)).swapaxes(0, 1)).swapaxes(0, 1)
    assert np.abs(found - glymur.Jp2k(path)[::2, ::2]).max() < 2.5  # roundings of both directions


def test_a_pixel_counts_if_it_is_bright_and_the_network_agrees() -> None:
    bright, dark = np.full((4, 64, 32), 0.5), np.full((4, 64, 32), 0.1)
    tile = Tile(
        name="a",
        region="b",
        level="l2a",
        ground_sample_distance=10,
        names=("B02", "B03", "B04", "B08"),
        bands=np.concatenate([bright, dark], axis=2).astype(np.float32),
        valid=np.ones((64, 64), np.bool_),
    )
    everywhere = Network(lambda windows: np.stack([windows[:, 0] * 0, windows[:, 0] + 9], axis=1))
    found = look_at(tile, everywhere)
    assert (found.network, found.masks) == (1, (1, 1))
    assert 0.4 < found.sure < 0.7
    nowhere = Network(lambda windows: np.stack([windows[:, 0] + 9, windows[:, 0] * 0], axis=1))
    assert look_at(tile, nowhere).sure == 0


def test_the_test_is_written_into_the_package_which_stays_whole(tmp_path: Path) -> None:
    folder = tmp_path / "package"
    shutil.copytree(shipped_package(), folder)
    test = FirstLookTest("B02", 0.3, 0.07, images=5, regions=2)
    write_test(folder, test)
    assert load_package(folder).first_look == test
    assert load_package(folder).model_id != load_package().model_id
