from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsw.scene.tiling import Grid

_GRIDS = st.builds(
    Grid,
    height=st.integers(1, 3000),
    width=st.integers(1, 3000),
    tile_size=st.just(224),
    stride=st.integers(40, 224),
)


def test_a_full_scene_has_53_by_53_windows() -> None:
    grid = Grid(10_980, 10_980)
    assert (grid.rows, grid.columns) == (53, 53)


@given(_GRIDS)
def test_windows_cover_every_row_and_none_is_superfluous(grid: Grid) -> None:
    covered = {row for number in range(grid.rows) for row in grid.needed_rows(number)}
    assert covered == set(range(grid.height))
    last = grid.needed_rows(grid.rows - 1)
    before = grid.needed_rows(grid.rows - 2).stop if grid.rows > 1 else 0
    assert last.stop > before


@given(_GRIDS)
def test_every_window_lies_inside_a_scene_that_is_large_enough(grid: Grid) -> None:
    for count, span_of, length in (
        (grid.rows, grid.needed_rows, grid.height),
        (grid.columns, grid.columns_of, grid.width),
    ):
        assert {len(span_of(number)) for number in range(count)} == {min(length, 224)}
        assert span_of(count - 1).stop == length


@given(_GRIDS)
def test_finished_rows_follow_each_other_and_no_later_window_touches_them(grid: Grid) -> None:
    finished = [grid.finished_rows(number) for number in range(grid.rows)]
    assert [row for span in finished for row in span] == list(range(grid.height))
    for number, span in enumerate(finished[:-1]):
        assert grid.needed_rows(number + 1).start >= span.stop


@pytest.mark.parametrize(("height", "stride"), [(0, 210), (-1, 210), (100, 0), (100, 225)])
def test_an_impossible_grid_is_refused(height: int, stride: int) -> None:
    with pytest.raises(ValueError, match=r"grid|stride"):
        Grid(height, 100, 224, stride)


@given(_GRIDS, st.data())
def test_a_grid_over_the_windows_around_an_area_has_them_in_the_same_places(
    grid: Grid, data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, grid.height - 1))
    wanted = range(first, data.draw(st.integers(first + 1, grid.height)))
    rows, columns = grid.seen_around(wanted, range(grid.width))
    assert columns == range(grid.width)
    around = Grid(len(rows), len(columns), grid.tile_size, grid.stride)
    shown = [grid.needed_rows(number) for number in range(grid.rows)]
    expected = [one for one in shown if one.start < wanted.stop and one.stop > wanted.start]
    found = [around.needed_rows(number) for number in range(around.rows)]
    assert [range(one.start + rows.start, one.stop + rows.start) for one in found] == expected
