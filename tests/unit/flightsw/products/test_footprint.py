"""Where the valid pixels lie: hull in pixels, polygon and box on Earth."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.warp import transform

from flightsw.products.contents import FinishedRows
from flightsw.products.footprint import ValidOutline, footprint
from flightsw.scene.scene import Georeference

_WHOLE = np.array([(0, 0), (0, 100), (100, 100), (100, 0), (0, 0)], np.float64)


def _outline(mask, *cuts):
    outline = ValidOutline(len(mask))
    edges = [0, *cuts, len(mask)]
    for top, end in pairwise(edges):
        outline.write(FinishedRows(top, None, mask[top:end], None))
    return outline


def test_hull_of_a_scene_without_gaps_is_its_four_corners():
    hull = _outline(np.zeros((30, 20), np.uint8), 7).hull()

    assert {tuple(point) for point in hull} == {(0, 0), (20, 0), (20, 30), (0, 30)}
    np.testing.assert_array_equal(hull[0], hull[-1])


def test_hull_follows_the_edge_of_the_swath():
    mask = np.full((100, 100), 255, np.uint8)
    mask[np.tri(100, dtype=bool)] = 1

    hull = _outline(mask, 33, 66).hull()

    assert {tuple(point) for point in hull} == {(0, 0), (1, 0), (100, 99), (100, 100), (0, 100)}


def test_hull_of_valid_rows_between_gaps_has_no_empty_row():
    mask = np.full((40, 10), 255, np.uint8)
    mask[10:20, 3:5] = 0

    hull = _outline(mask).hull()

    assert {tuple(point) for point in hull} == {(3, 10), (5, 10), (5, 20), (3, 20)}


def test_no_valid_pixel_has_no_hull():
    with pytest.raises(ValueError, match="no pixel"):
        _outline(np.full((4, 4), 255, np.uint8)).hull()


def test_footprint_is_a_counter_clockwise_polygon_through_the_corners():
    place = Georeference("EPSG:32632", (1000.0, 0.0, 500_000.0, 0.0, -1000.0, 5_000_000.0))

    found = footprint(_WHOLE, place)

    assert found.geometry["type"] == "Polygon"
    (ring,) = found.geometry["coordinates"]
    assert ring[0] == ring[-1]
    assert _area(ring) > 0
    corners = zip(*transform(place.crs, "EPSG:4326", [500e3, 600e3], [5e6, 4.9e6]), strict=True)
    for corner in corners:
        assert min(math.dist(corner, point) for point in ring) < 1e-6
    west, south, east, north = found.bbox
    assert (west, north) == (min(x for x, _ in ring), max(y for _, y in ring))
    assert (east, south) == (max(x for x, _ in ring), min(y for _, y in ring))


def test_edges_follow_the_grid_between_the_corners():
    place = Georeference("EPSG:32632", (1098.0, 0.0, 300_000.0, 0.0, -1098.0, 8_000_000.0))

    (ring,) = footprint(_WHOLE, place).geometry["coordinates"]

    x, y = transform("EPSG:4326", place.crs, *zip(*ring, strict=True))
    middle = min(math.dist(point, (354_900, 8_000_000)) for point in zip(x, y, strict=True))
    assert middle < 1


@given(
    zone=st.sampled_from((1, 60)),
    south=st.booleans(),
    easting=st.integers(200_000, 700_000),
    northing=st.integers(400_000, 9_000_000),
)
def test_no_part_is_wide_and_none_crosses_the_antimeridian(zone, south, easting, northing):
    place = Georeference(
        f"EPSG:{(32700 if south else 32600) + zone}",
        (1098.0, 0.0, float(easting), 0.0, -1098.0, float(northing)),
    )

    found = footprint(_WHOLE, place)

    cut = found.geometry["type"] == "MultiPolygon"
    parts = found.geometry["coordinates"] if cut else [found.geometry["coordinates"]]
    assert len(parts) == (2 if cut else 1)
    widths = 0.0
    for (ring,) in parts:
        longitudes = [x for x, _ in ring]
        assert -180 <= min(longitudes) < max(longitudes) <= 180
        assert _area(ring) > 0
        assert ring[0] == ring[-1]
        widths += max(longitudes) - min(longitudes)
    west, _, east, _ = found.bbox
    assert (west > east) == cut
    assert (east - west) % 360 == pytest.approx(widths, abs=1e-5)


@pytest.mark.parametrize("easting", [550_000, 600_000, 635_000])
def test_a_tile_in_zone_60_is_cut_where_it_crosses(easting):
    place = Georeference("EPSG:32660", (1098.0, 0.0, float(easting), 0.0, -1098.0, 7_200_000.0))

    found = footprint(_WHOLE, place)

    east, west = found.geometry["coordinates"]
    assert max(x for x, _ in east[0]) == 180
    assert min(x for x, _ in west[0]) == -180
    assert found.bbox[0] > 170
    assert found.bbox[2] < -170


@pytest.mark.parametrize(("crs", "pole"), [("EPSG:3995", 90), ("EPSG:3031", -90)])
def test_a_scene_around_a_pole_reaches_from_antimeridian_to_antimeridian(crs, pole):
    place = Georeference(crs, (10_000.0, 0.0, -500_000.0, 0.0, -10_000.0, 500_000.0))

    found = footprint(_WHOLE, place)

    west, south, east, north = found.bbox
    assert (west, east) == (-180, 180)
    assert pole in {south, north}
    parts = found.geometry["coordinates"]
    rings = [part[0] for part in parts] if found.geometry["type"] == "MultiPolygon" else parts
    assert sum(_area(ring) for ring in rings) == pytest.approx(360 * 5, rel=0.2)


def test_a_grid_off_the_earth_has_no_footprint():
    place = Georeference("EPSG:32632", (1.0, 0.0, 1e9, 0.0, -1.0, 1e9))

    assert footprint(_WHOLE, place) is None


def _area(ring):
    x, y = np.array(ring).T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)
