"""Rings are clipped, densified and projected."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flightsw.scene.rings import densified, to_degrees, to_pixels, within
from flightsw.scene.scene import Georeference

_PLACE = Georeference("EPSG:32632", (10.0, 0.0, 600_000.0, 0.0, -10.0, 5_000_040.0))
_SQUARE = np.array([(0, 0), (4, 0), (4, 2), (0, 2), (0, 0)], np.float64)


def _drawn(ring):
    canvas = np.zeros((60, 60), np.uint8)
    if len(ring):
        cv2.fillPoly(canvas, [np.round(ring).astype(np.int32) + 20], 1)
    return canvas.astype(bool)


def test_densified_edges_have_a_point_every_step_and_keep_the_corners():
    dense = densified(_SQUARE, 1.0)
    assert len(dense) == 13
    np.testing.assert_array_equal(dense[[0, 4, 6, 10, 12]], _SQUARE)
    np.testing.assert_allclose(np.hypot(*np.diff(dense, axis=0).T), 1)


def test_a_ring_inside_a_box_is_unchanged():
    np.testing.assert_array_equal(within(_SQUARE, (0, 0, 4, 2)), _SQUARE)


def test_a_ring_outside_a_box_is_empty():
    assert within(_SQUARE, (5, 0, 6, 2)).shape == (0, 2)
    assert within(_SQUARE, (0, -3, 4, -1)).shape == (0, 2)


@given(
    points=st.lists(st.tuples(st.integers(-15, 30), st.integers(-15, 30)), min_size=3, max_size=8),
    box=st.tuples(*[st.integers(-10, 5)] * 2, *[st.integers(6, 25)] * 2),
)
def test_what_is_left_of_any_ring_is_its_part_in_the_box(points, box):
    ring = np.array([*points, points[0]], np.float64)
    found = within(ring, box)
    west, south, east, north = box
    if len(found):
        assert (found.min(axis=0) >= (west, south)).all()
        assert (found.max(axis=0) <= (east, north)).all()
    inside = np.s_[20 + south + 1 : 20 + north, 20 + west + 1 : 20 + east]
    # Edges are drawn with a width of a pixel, so that clipped ones may differ there.
    edges = np.zeros((60, 60), np.uint8)
    for one in (ring, found):
        if len(one):
            cv2.polylines(edges, [np.round(one).astype(np.int32) + 20], True, 1, 3)
    differs = (_drawn(ring) != _drawn(found)) & (edges == 0)
    assert not differs[inside].any()


@given(st.tuples(st.floats(0, 10_980), st.floats(0, 10_980)))
def test_pixels_return_from_longitude_and_latitude(corner):
    ring = np.array([corner, (0, 0), (10_980, 10_980), corner])
    degrees = to_degrees(ring, _PLACE)
    np.testing.assert_allclose(to_pixels(degrees, _PLACE), ring, atol=1e-4)


def test_longitudes_pass_the_antimeridian_without_a_jump():
    place = Georeference("EPSG:32660", (10.0, 0.0, 600_000.0, 0.0, -10.0, 7_000_000.0))
    ring = np.array([(0, 0), (10_980, 0), (10_980, 10_980), (0, 0)], np.float64)
    degrees = to_degrees(ring, place)
    assert degrees[:, 0].max() > 180 > degrees[:, 0].min()
    assert np.ptp(degrees[:, 0]) < 5


def test_what_has_no_place_on_the_grid_is_none():
    beyond_the_pole = np.array([(0, 91), (1, 91), (1, 89), (0, 91)], np.float64)
    assert to_pixels(beyond_the_pole, Georeference("EPSG:3857", _PLACE.transform)) is None
