from __future__ import annotations

from dataclasses import replace

import numpy as np

from deploy.model.dataset import BANDS, Tile
from deploy.model.teacher import four_band_probabilities, teacher_probabilities


def test_the_four_band_teacher_sees_the_card_s_bands_and_no_others() -> None:
    dark = _tile(short_wave=0.05)
    bright = _tile(short_wave=0.60)
    np.testing.assert_array_equal(four_band_probabilities(dark), four_band_probabilities(bright))
    assert not np.array_equal(teacher_probabilities(dark), teacher_probabilities(bright))


def test_the_teacher_gives_a_probability_of_each_class_for_images_of_any_size() -> None:
    probabilities = four_band_probabilities(_tile(short_wave=0.1, side=100))
    assert probabilities.shape == (3, 100, 100)
    np.testing.assert_allclose(probabilities.sum(axis=0), 1.0, atol=1e-5)


def test_the_teacher_ignores_bands_that_it_does_not_know() -> None:
    tile = _tile(short_wave=0.3)
    further = np.concatenate((tile.bands, tile.bands[:1] / 2))
    more = replace(tile, names=(*tile.names, "B05"), bands=further)
    np.testing.assert_array_equal(teacher_probabilities(more), teacher_probabilities(tile))


def _tile(short_wave: float, side: int = 256) -> Tile:
    visible = np.random.default_rng(1).uniform(0.02, 0.6, (4, side, side))
    bands = np.concatenate((visible, np.full((2, side, side), short_wave))).astype(np.float32)
    names = ("B12", *BANDS, "B11")
    order = [4, 0, 1, 2, 3, 5]
    valid = np.ones((side, side), np.bool_)
    return Tile("simulated", "simulated", "l1c", 10, names, bands[order], valid)
