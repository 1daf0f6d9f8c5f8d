"""A buffer of rows that stream is that of the whole mask."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flightsw.pipeline.dilation import RowDilation
from flightsw.products.contents import FinishedRows


def _dilated(mask: NDArray[np.uint8], radius: float, cuts: list[int]) -> NDArray[np.uint8]:
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(mask)}), len(mask)]
    dilation = RowDilation(len(mask), radius)
    done: list[FinishedRows] = []
    for top, end in pairwise(edges):
        done += dilation.add(FinishedRows(top, None, mask[top:end], None))
    assert [rows.top for rows in done] == edges[:-1]
    return np.concatenate([rows.mask for rows in done])


@settings(max_examples=60)
@given(
    size=st.tuples(st.integers(1, 60), st.integers(1, 40)),
    radius=st.floats(0.1, 80),
    cuts=st.lists(st.integers(1, 59), max_size=8),
    share=st.sampled_from((0.0, 0.002, 0.02, 0.5, 1.0)),
    seed=st.integers(0, 1000),
)
def test_a_clear_pixel_is_contaminated_if_and_only_if_one_lies_within_the_radius(
    size: tuple[int, int], radius: float, cuts: list[int], share: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    mask = (random.random(size) < share).astype(np.uint8)
    mask[random.random(size) < 0.2] = 255
    rows, columns = np.nonzero(mask == 1)
    places = np.indices(size)
    near = np.zeros(size, bool)
    for row, column in zip(rows, columns, strict=True):
        near |= (places[0] - row) ** 2 + (places[1] - column) ** 2 <= radius**2

    found = _dilated(mask, radius, cuts)

    np.testing.assert_array_equal(found, np.where(near & (mask == 0), 1, mask))


def test_rows_leave_as_soon_as_those_within_the_radius_have_come() -> None:
    mask = np.zeros((30, 8), np.uint8)
    dilation = RowDilation(30, 4)

    left = [
        [rows.top for rows in dilation.add(FinishedRows(top, None, mask[top : top + 5], None))]
        for top in range(0, 30, 5)
    ]

    assert left == [[], [0], [5], [10], [15], [20, 25]]


def test_digital_numbers_stay_with_their_rows() -> None:
    mask = np.zeros((12, 3), np.uint8)
    mask[6] = 1
    reused = np.empty((4, 4, 3), np.uint16)
    dilation, seen = RowDilation(12, 3), []
    for top in range(0, 12, 4):
        reused[:] = top
        rows = FinishedRows(top, reused, mask[top : top + 4], None)
        seen += [(one.top, int(one.bands.max())) for one in dilation.add(rows)]

    assert seen == [(0, 0), (4, 4), (8, 8)]
