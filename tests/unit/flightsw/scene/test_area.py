"""What is an area of interest, and the sentence for what is not."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flightsw.errors import UsageError
from flightsw.scene.area import area_of, area_within, parse_area, read_area

_RING = [[11.0, 45.0], [11.2, 45.0], [11.2, 45.1], [11.0, 45.0]]
_HOLE = [[11.1, 45.01], [11.15, 45.01], [11.15, 45.02], [11.1, 45.01]]
_POLYGON: dict[str, Any] = {"type": "Polygon", "coordinates": [_RING, _HOLE]}
_AS_TUPLES = (tuple(map(tuple, _RING)), tuple(map(tuple, _HOLE)))


def _feature(geometry: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": {"name": "field"}, "geometry": geometry}


def _polygon(*positions: list[float], **members: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [[*positions]], **members}


@pytest.mark.parametrize(
    "geojson",
    [
        _POLYGON,
        {"type": "MultiPolygon", "coordinates": [[_RING, _HOLE]]},
        _feature(_POLYGON),
        {"type": "FeatureCollection", "features": [_feature(_POLYGON)], "bbox": [11, 45, 12, 46]},
        {
            "type": "FeatureCollection",
            "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}},
            "features": [_feature(_POLYGON)],
        },
        _polygon(*([*position, 420.0] for position in _RING))
        | {"coordinates": [[[*position, 420.0] for position in ring] for ring in (_RING, _HOLE)]},
    ],
)
def test_every_form_of_polygons_is_the_same_area(geojson: dict[str, Any], tmp_path: Path) -> None:
    area = parse_area(json.dumps(geojson))
    assert area.polygons == (_AS_TUPLES,)
    assert area.bounds is None
    assert area_of(geojson) == area
    assert area_of(SimpleNamespace(__geo_interface__=geojson)) == area
    path = tmp_path / "field.geojson"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(geojson).encode())  # as Windows writes it
    assert read_area(path) == area


def test_all_polygons_of_a_collection_count() -> None:
    collection = {"type": "FeatureCollection", "features": [_feature(_POLYGON)] * 2}
    assert area_of(collection).polygons == (_AS_TUPLES, _AS_TUPLES)


def test_an_area_is_recorded_as_the_geometry_that_it_was() -> None:
    assert parse_area(json.dumps(area_of(_POLYGON).as_geojson())) == area_of(_POLYGON)
    two = {"type": "MultiPolygon", "coordinates": [[_RING], [_HOLE]]}
    assert json.loads(json.dumps(area_of(two).as_geojson())) == two


def test_the_label_is_the_same_for_the_same_area_only() -> None:
    assert area_of(_POLYGON).label == area_of(_feature(_POLYGON)).label
    others = [area_of(_polygon(*_RING)), area_within((11, 45, 11.2, 45.1))]
    assert len({one.label for one in (area_of(_POLYGON), *others)}) == 3


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "is not GeoJSON of polygons"),
        ("{", "is not GeoJSON of polygons"),
        ("[1, 2]", "Expected `object`, got `array`"),
        ('{"type": "Point", "coordinates": [1, 2]}', "Invalid value 'Point'"),
        ('{"type": "Feature", "geometry": null}', "got `null` - at `$.geometry`"),
        ('{"type": "FeatureCollection", "features": []}', "has no polygon"),
        ('{"type": "MultiPolygon", "coordinates": []}', "has no polygon"),
        ('{"type": "Polygon", "coordinates": []}', "length >= 1"),
        (json.dumps(_polygon([11, 45], [12, 45], [11, 45])), "length >= 4"),
        (json.dumps(_polygon(*_RING[:3], [11.0, 45.5])), "begins at 11, 45 but ends at 11, 45.5"),
        (json.dumps(_polygon(["a", 45], *_RING)), "Expected `float`, got `str`"),  # type: ignore[list-item]
        ('{"type": "Polygon", "coordinates": [[[1e999, 2], [1, 3], [2, 3], [1, 2]]]}', "Number"),
        (
            json.dumps(_polygon([45, 111], [45, 112], [46, 111], [45, 111])),
            "has the position 45, 111, which is not longitude and latitude",
        ),
        (
            json.dumps(_polygon([6e5, 5e6], [6.1e5, 5e6], [6e5, 5.1e6], [6e5, 5e6])),
            "has the position 600000, 5000000, which is not longitude and latitude",
        ),
        (
            json.dumps(_POLYGON | {"crs": {"properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}}),
            "is in the coordinate system urn:ogc:def:crs:EPSG::32632",
        ),
        (
            json.dumps(_polygon([179, -17], [-179, -17], [-179, -16], [179, -17])),
            "has an edge from longitude 179 to -179, which can be either way",
        ),
        (json.dumps(_polygon(*[[11.0, 45.0]] * 100_001)), "has more than 100,000 positions"),
    ],
)
def test_what_is_not_an_area_is_refused_with_its_place(text: str, cause: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_area(text, "field.geojson")
    assert refused.value.subject == "field.geojson"
    assert cause in refused.value.cause
    assert refused.value.cure


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"x" * ((4 << 20) + 1), None])
def test_a_file_that_cannot_be_an_area_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "field.geojson"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"field\.geojson"):
        read_area(path)


def test_bounds_are_the_box_between_them() -> None:
    area = area_within((11, 45, 11.2, 45.1))
    assert area.bounds == (11, 45, 11.2, 45.1)
    ring = ((11, 45), (11.2, 45), (11.2, 45.1), (11, 45.1), (11, 45))
    assert area.polygons == ((ring,),)


def test_bounds_across_the_antimeridian_are_the_short_way_round() -> None:
    [[ring]] = area_within((179.5, -17, -179.5, -16)).polygons
    assert {longitude for longitude, _ in ring} == {179.5, 180.5}


@pytest.mark.parametrize(
    ("bounds", "cause"),
    [
        ((11, 45, 12), "is not four numbers"),
        ((11, 45, 12, float("nan")), "is not four numbers"),
        ((12, 45, 11, 46), "has its west at its east or beyond it"),
        ((11, 45, 11, 46), "has its west at its east or beyond it"),
        ((180, 45, -180, 46), "has its west at its east or beyond it"),
        ((11, 46, 12, 45), "has its south at its north or beyond it"),
        ((45, 111, 46, 112), "has the position 45, 111, which is not longitude and latitude"),
        ((6e5, 5e6, 6.1e5, 5.1e6), "which is not longitude and latitude"),
    ],
)
def test_what_are_not_bounds_is_refused(bounds: tuple[float, ...], cause: str) -> None:
    with pytest.raises(UsageError) as refused:
        area_within(bounds)
    assert cause in refused.value.cause
