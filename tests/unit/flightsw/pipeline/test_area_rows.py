"""The mask of an area is that of the whole scene, cut out; outside a polygon nothing is data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.warp import transform

from flightsw.config import PipelineSettings
from flightsw.errors import EmptyScene
from flightsw.pipeline import process_scene
from flightsw.products.contents import FinishedRows, SceneSummary
from flightsw.scene.area import AreaOfInterest, area_of
from flightsw.scene.array_scene import ArrayScene
from flightsw.scene.cutting import WindowReach, cut_to_area
from flightsw.scene.scene import Georeference, Scene
from tests.unit.flightsw.small_parts import BANDS, ArithmeticEngine

_PLACE = Georeference("EPSG:32632", (10.0, 0.0, 600_000.0, 0.0, -10.0, 5_000_040.0))


class _Planes:
    """Everything that rows hold, put together."""

    def __init__(self) -> None:
        self._rows: list[FinishedRows] = []

    def write(self, rows: FinishedRows) -> None:
        assert rows.top == sum(len(one.mask) for one in self._rows)
        self._rows.append(rows)

    def of(self, name: str) -> NDArray[Any]:
        return np.concatenate([getattr(rows, name) for rows in self._rows], axis=-2)


def _scene(height: int, width: int, seed: int = 0, columns: int | None = None) -> ArrayScene:
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 9000, (4, height // 40 + 1, width // 40 + 1))
    numbers = coarse.repeat(40, axis=1).repeat(40, axis=2)[:, :height, :width] + 1
    numbers[:, random.random((height, width)) < 0.02] = 0
    scene = ArrayScene.from_digital_numbers(
        numbers.astype(np.uint16), BANDS, offset=-1000, georeference=_PLACE
    )
    return replace(scene, columns=columns)


def _area(*pixels: tuple[float, float]) -> AreaOfInterest:
    a, _, left, _, e, top = _PLACE.transform
    x, y = np.array([*pixels, pixels[0]]).T
    ring = zip(*transform(_PLACE.crs, "EPSG:4326", left + a * x, top + e * y), strict=True)
    return area_of({"type": "Polygon", "coordinates": [[*ring]]})


def _square(left: int, top: int, right: int, bottom: int) -> AreaOfInterest:
    """These pixels, a bit inside their edges, which bend in longitude and latitude."""
    west, north, east, south = left + 0.3, top + 0.3, right - 0.3, bottom - 0.3
    return _area((west, north), (east, north), (east, south), (west, south))


def _processed(
    scene: Scene, chosen: PipelineSettings, stride: int = 210, classes: int = 2
) -> tuple[_Planes, SceneSummary]:
    planes = _Planes()
    engine = ArithmeticEngine(batch=4, stride=stride, classes=classes)
    return planes, process_scene(scene, engine, chosen, [planes], probability=True)


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(
    height=st.integers(1, 700),
    width=st.integers(1, 700),
    share=st.tuples(*[st.floats(0, 1)] * 4),
    columns=st.sampled_from([None, 100, 256]),
    fusion=st.sampled_from(["or", "blend"]),
    stride=st.sampled_from([210, 100]),
    buffer_m=st.sampled_from([0.0, 15.0, 300.0]),
    threshold=st.none() | st.integers(1, 100),
    seed=st.integers(0, 100),
)
def test_an_area_has_the_mask_and_the_pixels_of_the_whole_scene(
    height: int,
    width: int,
    share: tuple[float, float, float, float],
    columns: int | None,
    fusion: Any,
    stride: int,
    buffer_m: float,
    threshold: int | None,
    seed: int,
) -> None:
    left, top = int(share[0] * (width - 1)), int(share[1] * (height - 1))
    right = left + 1 + int(share[2] * (width - left - 1))
    bottom = top + 1 + int(share[3] * (height - top - 1))
    chosen = PipelineSettings(
        fusion=fusion, buffer_m=buffer_m, threshold_percent=threshold, device="cpu"
    )
    scene = _scene(height, width, seed, columns)
    reach = WindowReach(224, stride, buffer_m)
    cut = cut_to_area(scene, _square(left, top, right, bottom), reach)
    here = np.s_[..., top:bottom, left:right]
    whole, _ = _processed(replace(scene, columns=None), chosen, stride)
    expected = whole.of("mask")[here]
    if (expected == 255).all():
        with pytest.raises(EmptyScene):
            _processed(cut, chosen, stride)
        return
    found, summary = _processed(cut, chosen, stride)
    np.testing.assert_array_equal(found.of("mask"), expected)
    np.testing.assert_array_equal(found.of("probability"), whole.of("probability")[here])
    if columns is None:  # in panels, rows hold no digital numbers
        pixels = found.of("digital_numbers")
        np.testing.assert_array_equal(pixels, scene.digital_numbers[here])
    assert summary.valid_pixels == np.count_nonzero(expected != 255)
    assert summary.no_data_pixels == np.count_nonzero(expected == 255)
    assert summary.pixels_by_class["contaminated"] == np.count_nonzero(expected == 1)


def test_pixels_whose_centre_is_outside_the_polygons_are_no_data() -> None:
    chosen = PipelineSettings(device="cpu")
    scene = _scene(600, 700)
    triangle = _area((100, 300), (300, 300), (300, 500))
    square = _square(500, 100, 520, 120)
    both = AreaOfInterest((*triangle.polygons, *square.polygons))
    found, summary = _processed(cut_to_area(scene, both, WindowReach()), chosen, classes=4)
    rows, columns = np.mgrid[100:500, 100:520] + 0.5
    inside = (columns < 300) & (rows > 300) & (rows - 300 < columns - 100)
    inside |= (columns > 500) & (rows < 120)
    on_edge = np.abs((rows - 300) - (columns - 100)) < 0.01
    whole, _ = _processed(scene, chosen, classes=4)
    for name in ("mask", "classes", "probability"):
        expected = np.where(inside, whole.of(name)[100:500, 100:520], 255)
        np.testing.assert_array_equal(found.of(name)[~on_edge], expected[~on_edge])
    np.testing.assert_array_equal(
        found.of("digital_numbers"), scene.digital_numbers[:, 100:500, 100:520]
    )
    assert summary.valid_pixels == np.count_nonzero(found.of("mask") != 255)


def test_a_hole_of_a_polygon_is_outside_of_it() -> None:
    ((outer,),), ((hole,),) = (
        _square(*corners).polygons for corners in ((100, 100, 200, 200), (120, 130, 180, 150))
    )
    area = AreaOfInterest(((outer, hole),))
    found, _ = _processed(
        cut_to_area(_scene(300, 300), area, WindowReach()), PipelineSettings(device="cpu")
    )
    mask = found.of("mask")
    assert (mask[30:50, 20:80] == 255).all()
    assert (mask[:30] != 255).mean() > 0.9


def test_an_area_without_a_pixels_centre_is_empty_and_says_so() -> None:
    cut = cut_to_area(
        _scene(300, 300), _area((10.1, 10.1), (10.3, 10.1), (10.3, 10.3)), WindowReach()
    )
    with pytest.raises(EmptyScene, match="whose centre is in the area"):
        _processed(cut, PipelineSettings(device="cpu"))


def test_progress_is_that_of_the_areas_rows() -> None:
    cut = cut_to_area(_scene(700, 700), _square(300, 200, 400, 650), WindowReach())
    shown: list[tuple[int, int]] = []
    process_scene(
        cut,
        ArithmeticEngine(),
        PipelineSettings(device="cpu"),
        progress=lambda done, of: shown.append((done, of)),
    )
    assert shown[-1] == (450, 450)
    assert shown == sorted(shown)
