"""Where an area lies in a scene, and what is read of the scene for it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.warp import transform, transform_bounds

from flightsw.errors import AreaOutside, BadMetadata
from flightsw.scene import open_scene
from flightsw.scene.area import AreaOfInterest, area_of, area_within
from flightsw.scene.array_scene import ArrayScene
from flightsw.scene.cutting import USUAL_REACH, WindowReach, cut_to_area
from flightsw.scene.scene import Georeference, Scene
from flightsw.scene.strips import StripScene
from tests.unit.flightsw.scene.safe_writer import BANDS, SafeProduct

_PLACE = Georeference("EPSG:32632", (10.0, 0.0, 600_000.0, 0.0, -10.0, 5_000_040.0))
_ANTIMERIDIAN = Georeference("EPSG:32760", (10.0, 0.0, 815_000.0, 0.0, -10.0, 8_200_000.0))
_ARCTIC = Georeference("EPSG:3413", (60.0, 0.0, -30_000.0, 0.0, -60.0, 30_000.0))
_HEIGHT, _WIDTH = 1100, 900


def _scene(place: Georeference | None = _PLACE, columns: int | None = None) -> ArrayScene:
    numbers = np.arange(_HEIGHT * _WIDTH, dtype=np.uint16).reshape(1, _HEIGHT, _WIDTH)
    scene = ArrayScene.from_digital_numbers(
        numbers, ["B02"], offset=0, name="scene", georeference=place
    )
    return replace(scene, columns=columns)


def _degrees(
    pixels: list[tuple[float, float]], place: Georeference = _PLACE
) -> list[tuple[float, float]]:
    """Longitude and latitude of (column, row), with the last longitudes near the first."""
    a, _, left, _, e, top = place.transform
    x, y = np.array(pixels).T
    longitudes, latitudes = transform(place.crs, "EPSG:4326", left + a * x, top + e * y)
    return [
        (longitudes[0] + (longitude - longitudes[0] + 180) % 360 - 180, latitude)
        for longitude, latitude in zip(longitudes, latitudes, strict=True)
    ]


def _area(*pixels: tuple[float, float], place: Georeference = _PLACE) -> AreaOfInterest:
    ring = _degrees([*pixels, pixels[0]], place)
    return area_of({"type": "Polygon", "coordinates": [ring]})


def _square(
    left: float, top: float, right: float, bottom: float, place: Georeference = _PLACE
) -> AreaOfInterest:
    """These pixels, a bit inside their edges: straight in longitude and latitude, those bend."""
    west, north, east, south = left + 0.3, top + 0.3, right - 0.3, bottom - 0.3
    return _area((west, north), (east, north), (east, south), (west, south), place=place)


def _place_of(scene: Scene) -> tuple[int, int, int, int]:
    """Column, row, width, height."""
    known = scene.metadata
    assert known.cut
    return known.cut.left, known.cut.top, known.width, known.height


def _pixels(scene: Scene) -> NDArray[np.uint16]:
    known = scene.metadata
    rows, columns = known.shown
    pixels = np.zeros((len(known.bands), len(rows), len(columns)), np.uint16)
    with scene.strips(2) as strips:
        for strip in strips:
            _, height, width = strip.digital_numbers.shape
            pixels[:, strip.top :, strip.left :][:, :height, :width] = strip.digital_numbers
    return pixels


def test_a_polygon_is_snapped_outward_to_pixels() -> None:
    cut = cut_to_area(_scene(), _square(100.4, 200.3, 149.5, 260.9), USUAL_REACH)
    assert _place_of(cut) == (100, 200, 50, 61)
    assert cut.metadata.georeference == Georeference(
        "EPSG:32632", (10.0, 0.0, 601_000.0, 0.0, -10.0, 4_998_040.0)
    )


def test_an_area_on_pixel_edges_gets_no_further_pixel() -> None:
    area = _area((100, 200), (110, 200), (110, 220), (100, 220))
    assert _place_of(cut_to_area(_scene(), area, USUAL_REACH)) == (100, 200, 10, 20)


def test_an_area_that_is_smaller_than_a_pixel_is_one_pixel() -> None:
    area = _area((100.2, 200.2), (100.3, 200.2), (100.3, 200.3))
    assert _place_of(cut_to_area(_scene(), area, USUAL_REACH)) == (100, 200, 1, 1)


def test_bounds_are_the_rectangle_around_them_and_nothing_in_it_is_left_out() -> None:
    (west, north), (east, south) = _degrees([(100.5, 200.5), (400.5, 600.5)])
    cut = cut_to_area(_scene(), area_within((west, south, east, north)), USUAL_REACH)
    found = transform_bounds("EPSG:4326", _PLACE.crs, west, south, east, north, densify_pts=99)
    columns = [(x - _PLACE.transform[2]) / 10 for x in found[::2]]
    rows = [(_PLACE.transform[5] - y) / 10 for y in found[1::2]]
    left, top, right, bottom = (
        *(math.floor(columns[0]), math.floor(rows[1])),
        *(math.ceil(columns[1]), math.ceil(rows[0])),
    )
    assert bottom - top > 401  # a parallel is not a row here
    assert _place_of(cut) == (left, top, right - left, bottom - top)
    assert cut.metadata.cut
    assert cut.metadata.cut.polygons == ()


@settings(max_examples=60)
@given(
    corners=st.lists(
        st.tuples(st.floats(1, _WIDTH - 1), st.floats(1, _HEIGHT - 1)), min_size=3, max_size=7
    )
)
def test_every_pixel_of_a_polygon_is_in_the_rectangle(corners: list[tuple[float, float]]) -> None:
    left, top, width, height = _place_of(cut_to_area(_scene(), _area(*corners), USUAL_REACH))
    x, y = np.array(corners).T
    assert left <= x.min() + 0.01 < x.max() - 0.01 <= left + width or np.ptp(x) < 0.02
    assert top <= y.min() + 0.01 < y.max() - 0.01 <= top + height or np.ptp(y) < 0.02
    assert width <= np.ptp(x) + 2
    assert height <= np.ptp(y) + 2


def test_what_reaches_beyond_the_scene_is_cut_and_remarked_on() -> None:
    cut = cut_to_area(_scene(), _square(-50, 1000, 60, 5000), USUAL_REACH)
    assert _place_of(cut) == (0, 1000, 60, 100)
    assert "the area reaches beyond the scene" in cut.metadata.remarks
    whole = cut_to_area(_scene(), _square(0, 1000, 60, 1100), USUAL_REACH)
    assert whole.metadata.remarks == ()


def test_polygons_beyond_the_scene_do_not_enlarge_the_rectangle() -> None:
    near, far = _square(100, 200, 150, 260), _square(5000, 9000, 5100, 9100)
    both = AreaOfInterest((*near.polygons, *far.polygons))
    cut = cut_to_area(_scene(), both, USUAL_REACH)
    assert _place_of(cut) == (100, 200, 50, 60)
    assert cut.metadata.remarks == ("the area reaches beyond the scene",)


def test_a_polygon_of_the_whole_earth_is_the_whole_scene() -> None:
    cut = cut_to_area(_scene(), area_within((-180, -90, 180, 90)), USUAL_REACH)
    assert _place_of(cut) == (0, 0, _WIDTH, _HEIGHT)


@pytest.mark.parametrize("turn", [0, 360, -360])
def test_longitudes_of_another_turn_are_the_same_place(turn: int) -> None:
    ring = [
        (longitude + turn, latitude)
        for longitude, latitude in _degrees(
            [(100, 200), (150, 200), (150, 260), (100, 200)], _PLACE
        )
    ]
    if abs(ring[0][0]) > 360:
        ring = [(longitude - turn, latitude) for longitude, latitude in ring]
    cut = cut_to_area(_scene(), area_of({"type": "Polygon", "coordinates": [ring]}), USUAL_REACH)
    assert _place_of(cut) == (100, 200, 50, 60)


def test_an_area_across_the_antimeridian_is_found_however_it_is_written() -> None:
    scene = _scene(_ANTIMERIDIAN)
    [[ring]] = _square(100, 200, 800, 600, _ANTIMERIDIAN).polygons
    west, south = (min(side) for side in zip(*ring, strict=True))
    east, north = (max(side) for side in zip(*ring, strict=True))
    assert west < 180 < east
    for turn in (0, 360):
        turned = [(longitude - turn, latitude) for longitude, latitude in ring]
        area = area_of({"type": "Polygon", "coordinates": [turned]})
        assert _place_of(cut_to_area(scene, area, USUAL_REACH)) == (100, 200, 700, 400)
    halves = [
        [(west, south), (180, south), (180, north), (west, north), (west, south)],
        [(-180, south), (east - 360, south), (east - 360, north), (-180, north), (-180, south)],
    ]
    in_two = area_of({"type": "MultiPolygon", "coordinates": [[half] for half in halves]})
    as_bounds = area_within((west, south, east - 360, north))
    found = {_place_of(cut_to_area(scene, area, USUAL_REACH)) for area in (in_two, as_bounds)}
    assert len(found) == 1
    assert found.pop()[2:] >= (700, 400)


def test_an_area_around_the_pole_is_found() -> None:
    cut = cut_to_area(_scene(_ARCTIC), area_within((-180, 89.9, 180, 90)), USUAL_REACH)
    left, top, width, height = _place_of(cut)  # the pole is at 500, 500
    assert left == top == 500 - width // 2
    assert width == height == pytest.approx(361, abs=2)  # a tenth of a degree at a scale of 0.97


def test_an_area_outside_the_scene_is_refused_with_where_the_scene_is() -> None:
    with pytest.raises(AreaOutside) as refused:
        cut_to_area(_scene(), _square(2000, 200, 2100, 300), USUAL_REACH)
    assert "lies outside scene, which covers the longitudes 10.2" in refused.value.cause
    assert refused.value.cure == "Give an area in the scene, or another scene"


def test_latitude_before_longitude_is_suspected() -> None:
    [[ring]] = _square(100, 200, 150, 260).polygons
    swapped = [(latitude, longitude) for longitude, latitude in ring]
    with pytest.raises(AreaOutside) as refused:
        cut_to_area(_scene(), area_of({"type": "Polygon", "coordinates": [swapped]}), USUAL_REACH)
    assert "longitude before latitude" in refused.value.cure


def test_a_scene_without_a_georeference_has_no_area() -> None:
    with pytest.raises(BadMetadata, match="has no georeference, so the area cannot be found"):
        cut_to_area(_scene(None), _square(100, 200, 150, 260), USUAL_REACH)


def test_a_grid_that_is_not_on_earth_has_no_area() -> None:
    nowhere = replace(_PLACE, transform=(10.0, 0.0, 9e9, 0.0, -10.0, 9e9))
    with pytest.raises(BadMetadata, match="does not lie on Earth"):
        cut_to_area(_scene(nowhere), _square(100, 200, 150, 260), USUAL_REACH)


@settings(max_examples=60)
@given(
    left=st.integers(0, _WIDTH - 1),
    top=st.integers(0, _HEIGHT - 1),
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    columns=st.sampled_from([None, 64, 256, 500]),
)
def test_strips_show_all_windows_of_the_area_and_nothing_else(
    left: int, top: int, width: int, height: int, columns: int | None
) -> None:
    right, bottom = min(left + width, _WIDTH), min(top + height, _HEIGHT)
    whole = _scene(columns=columns)
    cut = cut_to_area(whole, _square(left, top, right, bottom), USUAL_REACH)
    rows, seen = cut.metadata.shown
    expected = whole.digital_numbers[:, rows.start : rows.stop, seen.start : seen.stop]
    np.testing.assert_array_equal(_pixels(cut), expected)
    assert rows.start <= top < bottom <= rows.stop
    assert top - rows.start < 224
    assert rows.stop - bottom < 224


def test_a_buffer_reaches_further() -> None:
    area = _square(400, 500, 420, 520)
    plain = cut_to_area(_scene(), area, USUAL_REACH).metadata.shown
    buffered = cut_to_area(_scene(), area, WindowReach(buffer_m=2000.0)).metadata.shown
    for before, after in zip(plain, buffered, strict=True):
        assert after.start < before.start
        assert after.stop > before.stop


@pytest.mark.parametrize(
    ("height", "width", "distance", "panels"),
    [(600, 500, 10, False), (1200, 1000, 20, False), (450, 2400, 10, True)],
)
def test_a_product_on_disk_is_read_from_any_pixel_on(
    tmp_path: Path, height: int, width: int, distance: int, *, panels: bool
) -> None:
    root = SafeProduct(height=height, width=width, tile=(128, 256)).write(tmp_path)
    whole = open_scene(root, BANDS, distance, panels=panels)
    place = whole.metadata.georeference
    assert place
    right = whole.metadata.width - 50
    area = _square(right - 80, 201, right, 370, place)
    cut = cut_to_area(whole, area, USUAL_REACH)
    assert _place_of(cut) == (right - 80, 201, 80, 169)
    rows, columns = cut.metadata.shown
    assert len(columns) < whole.metadata.width
    expected = _pixels(whole)[:, rows.start : rows.stop, columns.start : columns.stop]
    np.testing.assert_array_equal(_pixels(cut), expected)


def test_only_what_the_windows_show_is_decoded(tmp_path: Path) -> None:
    root = SafeProduct(height=700, width=650, tile=(256, 256)).write(tmp_path)
    whole = open_scene(root)
    place = whole.metadata.georeference
    assert place
    asked: list[tuple[range, range]] = []

    class Noted:
        bands = slice(0, 4)

        def read(self, top: int, left: int, targets: list[NDArray[np.uint16]]) -> None:
            rows = sum(target.shape[1] for target in targets)
            asked.append((range(top, top + rows), range(left, left + targets[0].shape[2])))

    area = _square(301, 201, 390, 270, place)
    cut = cut_to_area(whole, area, USUAL_REACH)
    assert isinstance(cut, StripScene)
    _pixels(replace(cut, parts=(Noted(),)))
    rows, columns = cut.metadata.shown
    assert {*asked} <= {(rows, columns)}
    assert len(rows) * len(columns) < 0.25 * 700 * 650
