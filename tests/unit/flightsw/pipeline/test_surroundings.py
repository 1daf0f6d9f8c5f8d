"""What a window shows beyond the ground."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsw.pipeline.surroundings import surround

SIDE = 16


@given(rows=st.integers(1, SIDE), columns=st.integers(1, SIDE))
def test_a_small_scene_continues_as_its_mirror_image(rows: int, columns: int) -> None:
    ground = np.random.default_rng(rows).integers(-128, 128, (rows, columns, 4)).astype(np.int8)
    tile = np.zeros((SIDE, SIDE, 4), np.int8)
    tile[:rows, :columns] = ground
    surround(tile, rows, columns, None)
    padding = ((0, SIDE - rows), (0, SIDE - columns), (0, 0))
    np.testing.assert_array_equal(tile, np.pad(ground, padding, mode="symmetric"))


@given(
    share=st.floats(0, 0.95),
    seed=st.integers(0, 50),
    rows=st.integers(4, SIDE),
    columns=st.integers(4, SIDE),
)
def test_pixels_without_data_get_the_values_of_ground_and_the_ground_stays(
    share: float, seed: int, rows: int, columns: int
) -> None:
    random = np.random.default_rng(seed)
    missing = random.random((rows, columns)) < share
    missing[rows // 2, columns // 2] = False
    ground = random.integers(1, 128, (rows, columns, 4)).astype(np.int8)
    tile = np.full((SIDE, SIDE, 4), -128, np.int8)
    tile[:rows, :columns] = np.where(missing[..., None], -128, ground)
    surround(tile, rows, columns, missing)
    np.testing.assert_array_equal(tile[:rows, :columns][~missing], ground[~missing])
    spectra = {tuple(pixel) for pixel in ground[~missing]}
    assert {tuple(pixel) for pixel in tile.reshape(-1, 4)} == spectra


@pytest.mark.parametrize(("column", "expected"), [(2, 10), (5, 10), (9, 20), (13, 20)])
def test_the_nearest_ground_is_taken(column: int, expected: int) -> None:
    tile = np.zeros((SIDE, SIDE, 1), np.int8)
    tile[:, 0], tile[:, 15] = 10, 20
    missing = np.ones((SIDE, SIDE), np.bool_)
    missing[:, [0, 15]] = False
    surround(tile, SIDE, SIDE, missing)
    assert (tile[:, column] == expected).all()
