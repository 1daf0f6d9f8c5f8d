"""Bands of coarser pixels on a scene's grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flightsw.scene.reflectance import NO_DATA, SATURATED
from flightsw.scene.resampled_band import ResampledBand

PITCHES = [(20, 10), (60, 10), (60, 20), (60, 40), (60, 80), (20, 20), (160, 80)]


class Pixels:
    """A band in memory, which keeps what was read of it."""

    bands = slice(0, 1)

    def __init__(self, values: NDArray[np.uint16]) -> None:
        self.values = values
        self.reads: list[tuple[int, int, int, int]] = []

    def read(self, top: int, left: int, targets: Sequence[NDArray[np.uint16]]) -> None:
        (target,) = targets
        _, rows, columns = target.shape
        self.reads.append((top, left, rows, columns))
        target[0] = self.values[top : top + rows, left : left + columns]


def on_grid(
    values: NDArray[np.uint16], pitch: int, scene_pitch: int, cell: tuple[int, int] = (7, 5)
) -> tuple[ResampledBand, Pixels]:
    source = Pixels(values)
    height, width = values.shape
    return ResampledBand(source, height, width, pitch, scene_pitch, cell), source


def read(
    band: ResampledBand, top: int, left: int, heights: Sequence[int], columns: int
) -> NDArray[np.uint16]:
    targets = [np.full((1, rows, columns), 7, np.uint16) for rows in heights]
    band.read(top, left, targets)
    return np.concatenate(targets, axis=1)[0]


def extent(values: NDArray[np.uint16], pitch: int, scene_pitch: int) -> tuple[int, int]:
    height, width = (-(-side * pitch // scene_pitch) for side in values.shape)
    return height, width


@st.composite
def cuts(draw: st.DrawFn, length: int) -> list[int]:
    inside = draw(st.sets(st.integers(1, length - 1), max_size=4)) if length > 1 else set()
    edges = [0, *sorted(inside), length]
    return [stop - start for start, stop in pairwise(edges)]


@st.composite
def bands(draw: st.DrawFn) -> tuple[NDArray[np.uint16], int, int, tuple[int, int]]:
    pitch, scene_pitch = draw(st.sampled_from(PITCHES))
    shape = draw(st.tuples(st.integers(1, 14), st.integers(1, 14)))
    seed = draw(st.integers(0, 99))
    values = np.random.default_rng(seed).integers(0, 65_536, shape).astype(np.uint16)
    cell = draw(st.tuples(st.integers(1, 16), st.integers(1, 16)))
    return values, pitch, scene_pitch, cell


@given(bands(), st.data())
def test_a_pixel_has_the_value_of_the_bands_pixel_that_its_centre_lies_in(
    drawn: tuple[NDArray[np.uint16], int, int, tuple[int, int]], data: st.DataObject
) -> None:
    values, pitch, scene_pitch, cell = drawn
    band, _ = on_grid(values, pitch, scene_pitch, cell)
    height, width = extent(values, pitch, scene_pitch)
    row = data.draw(st.integers(0, height - 1))
    column = data.draw(st.integers(0, width - 1))
    across = min(int((column + 0.5) * scene_pitch / pitch), values.shape[1] - 1)
    down = min(int((row + 0.5) * scene_pitch / pitch), values.shape[0] - 1)
    assert read(band, row, column, [1], 1)[0, 0] == values[down, across]


@given(bands(), st.data())
def test_strips_and_panels_do_not_change_a_pixel(
    drawn: tuple[NDArray[np.uint16], int, int, tuple[int, int]], data: st.DataObject
) -> None:
    values, pitch, scene_pitch, cell = drawn
    height, width = extent(values, pitch, scene_pitch)
    whole = read(on_grid(values, pitch, scene_pitch, (99, 99))[0], 0, 0, [height], width)
    band, _ = on_grid(values, pitch, scene_pitch, cell)
    found = np.empty_like(whole)
    top = 0
    for rows in data.draw(cuts(height)):
        left = 0
        for columns in data.draw(cuts(width)):
            strips = data.draw(cuts(rows))
            part = read(band, top, left, strips, columns)
            found[top : top + rows, left : left + columns] = part
            left += columns
        top += rows
    np.testing.assert_array_equal(found, whole)


@given(bands(), st.sampled_from([NO_DATA, 1, 1000, SATURATED]))
def test_a_constant_band_stays_constant(
    drawn: tuple[NDArray[np.uint16], int, int, tuple[int, int]], value: int
) -> None:
    values, pitch, scene_pitch, cell = drawn
    band, _ = on_grid(np.full_like(values, value), pitch, scene_pitch, cell)
    height, width = extent(values, pitch, scene_pitch)
    assert (read(band, 0, 0, [height], width) == value).all()


@pytest.mark.parametrize("mark", [NO_DATA, SATURATED])
def test_no_data_and_saturation_stay_where_they_are_and_do_not_spread(mark: int) -> None:
    values = np.full((4, 5), 3000, np.uint16)
    values[1, 2] = mark
    found = read(on_grid(values, 60, 10)[0], 0, 0, [24], 30)
    expected = np.full((24, 30), 3000, np.uint16)
    expected[6:12, 12:18] = mark
    np.testing.assert_array_equal(found, expected)


def from_top_to_bottom(
    band: ResampledBand, height: int, width: int, rows: int, columns: int
) -> Iterator[NDArray[np.uint16]]:
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            yield read(band, top, left, [min(rows, height - top)], min(columns, width - left))


@pytest.mark.parametrize("columns", [80, 16])
def test_no_cell_is_decoded_twice_from_top_to_bottom(columns: int) -> None:
    values = np.arange(60 * 40, dtype=np.uint16).reshape(60, 40)
    band, source = on_grid(values, 20, 10, cell=(10, 8))
    list(from_top_to_bottom(band, 120, 80, rows=16, columns=columns))
    assert len(source.reads) == len(set(source.reads)) == 6 * 5
    assert {read[2:] for read in source.reads} == {(10, 8)}


def test_threads_that_need_the_same_cell_decode_it_once() -> None:
    values = np.arange(64, dtype=np.uint16).reshape(8, 8)
    band, source = on_grid(values, 20, 10, cell=(8, 8))
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda top: read(band, top, 0, [2], 16), range(0, 16, 2)))
    np.testing.assert_array_equal(np.concatenate(rows), values.repeat(2, 0).repeat(2, 1))
    assert source.reads == [(0, 0, 8, 8)]
