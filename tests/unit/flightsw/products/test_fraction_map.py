from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flightsw.products.contents import CONTAMINATED, NO_DATA, FinishedRows
from flightsw.products.fraction_map import NO_VALID_PIXEL, FractionMap
from flightsw.scene.tiling import Grid


def _rows(top: int, mask: np.ndarray) -> FinishedRows:
    return FinishedRows(top, np.zeros((1, *mask.shape), np.uint16), mask, None)


@given(
    st.integers(1, 70), st.integers(1, 70), st.lists(st.integers(1, 25), max_size=6), st.integers()
)
def test_cells_are_those_of_the_whole_mask_whatever_the_pieces(
    height: int, width: int, cuts: list[int], seed: int
) -> None:
    grid = Grid(height, width, tile_size=16, stride=13)
    random = np.random.default_rng(abs(seed))
    mask = random.choice([0, CONTAMINATED, NO_DATA], (height, width)).astype(np.uint8)
    fractions = FractionMap(grid.rows, grid.columns, grid.stride)
    top = 0
    for rows in (*cuts, height):
        if piece := min(rows, height - top):
            fractions.write(_rows(top, mask[top : top + piece]))
            top += piece
    for row, column in np.ndindex(grid.rows, grid.columns):
        below = height if row == grid.rows - 1 else (row + 1) * 13
        right = width if column == grid.columns - 1 else (column + 1) * 13
        cell = mask[row * 13 : below, column * 13 : right]
        valid = cell[cell != NO_DATA]
        expected = NO_VALID_PIXEL if not valid.size else round(250 * (valid == 1).mean())
        assert abs(int(fractions.values()[row, column]) - expected) <= (valid.size > 0)
        assert (fractions.values()[row, column] == NO_VALID_PIXEL) == (valid.size == 0)


def test_a_whole_scene_has_53_by_53_cells() -> None:
    grid = Grid(10_980, 10_980)
    assert FractionMap(grid.rows, grid.columns, grid.stride).values().shape == (53, 53)
