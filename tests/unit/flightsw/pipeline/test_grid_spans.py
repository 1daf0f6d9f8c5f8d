"""Spans of windows out of strips: what each looks at, and what is kept for it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flightsw.pipeline.grid_spans import GridSpan, grid_spans, no_data_pixels
from flightsw.scene.scene import Strip
from flightsw.scene.tiling import Grid
from tests.unit.flightsw.small_parts import ArrayScene


def numbers_of(height: int, width: int) -> NDArray[np.uint16]:
    return np.random.default_rng(2).integers(0, 9000, (1, height, width), np.uint16)


def seen_by(span: GridSpan) -> tuple[int, NDArray[np.uint16]]:
    """The first scene column that a span's windows look at, and all that it holds for them."""
    stacks = (*span.beside, span.own)
    for beside, next_one in pairwise(stacks):
        assert beside.right == next_one.left
    joined = [np.concatenate(stack.pieces, axis=1) for stack in stacks]
    return stacks[0].left, np.concatenate(joined, axis=2)


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    heights=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    widths=st.lists(st.integers(1, 60), max_size=6),
    together=st.integers(1, 4),
    tile=st.integers(1, 30),
    stride=st.integers(1, 30),
)
def test_every_window_is_given_out_once_with_its_own_pixels(
    height: int,
    width: int,
    heights: list[int],
    widths: list[int],
    together: int,
    tile: int,
    stride: int,
) -> None:
    grid = Grid(height, width, tile, min(tile, stride))
    numbers = numbers_of(height, width)
    given_out = []
    rows_ended = []
    with ArrayScene(numbers, heights, widths, together).strips(1) as strips:
        for span in grid_spans(strips, grid):
            left, held = seen_by(span)
            rows = grid.needed_rows(span.row)
            for column in span.columns:
                seen = grid.columns_of(column)
                window = held[:, :, seen.start - left : seen.stop - left]
                expected = numbers[:, rows.start : rows.stop, seen.start : seen.stop]
                np.testing.assert_array_equal(window, expected)
                given_out.append((span.row, column))
            if span.ends_row:
                rows_ended.append(span.row)
                assert sum(row == span.row for row, _ in given_out) == grid.columns
    assert sorted(given_out) == [(r, c) for r in range(grid.rows) for c in range(grid.columns)]
    assert rows_ended == list(range(grid.rows))


def test_what_the_next_panel_shares_keeps_no_strip_in_memory() -> None:
    numbers = numbers_of(60, 60)
    with ArrayScene(numbers, [60], [40]).strips(1) as strips:
        second = list(grid_spans(strips, Grid(60, 60, 20, 15)))[-1]
    assert second.beside
    for piece in second.beside[0].pieces:
        assert not np.may_share_memory(piece, numbers)
    assert np.may_share_memory(second.own.pieces[0], numbers)


@pytest.mark.parametrize(
    "missing", [lambda strip: strip.top > 20, lambda strip: strip.left > 20, lambda _: True]
)
def test_strips_that_end_early_are_an_error(missing) -> None:  # type: ignore[no-untyped-def]
    def cut_short() -> Iterator[Strip]:
        with ArrayScene(numbers_of(60, 60), [30], [30]).strips(1) as strips:
            yield from (strip for strip in strips if not missing(strip))

    with pytest.raises(ValueError, match="before all 60 x 60 pixels came"):
        list(grid_spans(cut_short(), Grid(60, 60, 20, 15)))


@pytest.mark.parametrize(("zero_is_measured", "expected"), [(False, [1, 1, 0]), (True, [1, 0, 0])])
def test_one_band_at_zero_is_no_data_unless_zero_is_measured(
    zero_is_measured: bool, expected: list[int]
) -> None:
    numbers = np.array([[[0, 0, 7]], [[0, 60, 9]]], np.uint16)
    found = no_data_pixels(numbers, zero_is_measured=zero_is_measured)
    assert found is not None
    np.testing.assert_array_equal(found, np.array([expected], bool))


def test_pixels_that_are_all_valid_need_no_array() -> None:
    assert no_data_pixels(np.ones((2, 3, 4), np.uint16), zero_is_measured=False) is None
