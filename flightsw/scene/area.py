"""An area of interest: polygons of GeoJSON (RFC 7946), or the box between four bounds."""

from __future__ import annotations

import hashlib
import math
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import Meta

from flightsw.errors import UsageError
from flightsw.host.disk import read_plain

Position: TypeAlias = tuple[float, float]
"""Longitude and latitude, degrees of WGS 84."""
Polygon: TypeAlias = tuple[tuple[Position, ...], ...]
"""The outer ring, then the holes; each ring ends with its first position."""
Bounds: TypeAlias = tuple[float, float, float, float]
"""West, south, east, north, degrees; west is greater than east across the antimeridian."""

_LARGEST_FILE: Final = 4 << 20  # bytes
_MOST_POSITIONS: Final = 100_000
_HALF_TURN: Final = 180.0
_FORM: Final = "Give a Polygon, MultiPolygon, Feature or FeatureCollection (RFC 7946)"
_ORDER: Final = "Give degrees of WGS 84, longitude before latitude"
_DEGREES: Final = ("CRS84", "EPSG::4326", "EPSG:4326")
_DIGEST: Final = 8


@dataclass(frozen=True)
class AreaOfInterest:
    """Where on Earth pixels are wanted.

    ``polygons`` in degrees of WGS 84, with continuous longitudes within each.  If ``bounds`` is
    given, they are the one box between them, and the pixels of the smallest rectangle around it
    count; otherwise those whose centre is inside a polygon.
    """

    polygons: tuple[Polygon, ...]
    bounds: Bounds | None = None

    @property
    def label(self) -> str:
        """A short name for files, the same for the same area."""
        digest = hashlib.sha256(repr((self.polygons, self.bounds)).encode()).hexdigest()
        return f"area-{digest[:_DIGEST]}"

    def as_geojson(self) -> dict[str, Any]:
        """The polygons as a GeoJSON geometry."""
        if len(self.polygons) == 1:
            return {"type": "Polygon", "coordinates": self.polygons[0]}
        return {"type": "MultiPolygon", "coordinates": self.polygons}


def area_within(bounds: Sequence[float]) -> AreaOfInterest:
    """The box between ``bounds``: west, south, east, north in degrees of WGS 84.

    West is greater than east across the antimeridian.  Raises :class:`UsageError`.
    """
    subject = f"the box {', '.join(f'{side:g}' for side in bounds)}"
    if len(bounds) != 4 or not all(map(math.isfinite, bounds)):
        raise UsageError(subject, "is not four numbers", "Give west, south, east, north")
    west, south, east, north = map(float, bounds)
    _check_position((west, south), subject)
    _check_position((east, north), subject)
    if south >= north:
        cause = "has its south at its north or beyond it"
        raise UsageError(subject, cause, "Give west, south, east, north")
    right = east + 2 * _HALF_TURN if west > east else east
    if right <= west or (west > east and right - west > _HALF_TURN):
        cause = "has its west at its east or beyond it"
        cure = "Give west, south, east, north; west is greater only across the antimeridian"
        raise UsageError(subject, cause, cure)
    ring = ((west, south), (right, south), (right, north), (west, north), (west, south))
    return AreaOfInterest(((ring,),), (west, south, east, north))


def read_area(path: str | PathLike[str]) -> AreaOfInterest:
    """The polygons of a GeoJSON file; raises :class:`UsageError`."""
    try:
        content = read_plain(Path(path), _LARGEST_FILE)
    except OSError as error:
        cause = f"cannot be read ({error.strerror or error})"
        raise UsageError(path, cause, "Give a GeoJSON file") from error
    return parse_area(content.removeprefix(BOM_UTF8), str(path))


def parse_area(text: str | bytes, subject: str = "the area") -> AreaOfInterest:
    """The polygons of GeoJSON text, called ``subject`` in errors; raises :class:`UsageError`."""
    try:
        return _area_of(msgspec.json.decode(text, type=_GeoJson), subject)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise UsageError(subject, f"is not GeoJSON of polygons ({error})", _FORM) from error


def area_of(geojson: Any) -> AreaOfInterest:
    """The polygons of GeoJSON as Python objects, or of an object with ``__geo_interface__``.

    Raises :class:`UsageError`.
    """
    subject = "the area"
    try:
        found = msgspec.convert(getattr(geojson, "__geo_interface__", geojson), type=_GeoJson)
    except (msgspec.ValidationError, RecursionError) as error:
        raise UsageError(subject, f"is not GeoJSON of polygons ({error})", _FORM) from error
    return _area_of(found, subject)


# Altitudes may follow longitude and latitude.
_Ring: TypeAlias = Annotated[
    tuple[Annotated[tuple[float, ...], Meta(min_length=2)], ...], Meta(min_length=4)
]
_Rings: TypeAlias = Annotated[tuple[_Ring, ...], Meta(min_length=1)]


class _Named(msgspec.Struct, frozen=True):
    name: str


class _Crs(msgspec.Struct, frozen=True):
    """Of GeoJSON before RFC 7946."""

    properties: _Named


class _Object(msgspec.Struct, frozen=True, tag_field="type", kw_only=True):
    crs: _Crs | None = None


class _Polygon(_Object, frozen=True, tag="Polygon"):
    coordinates: _Rings


class _MultiPolygon(_Object, frozen=True, tag="MultiPolygon"):
    coordinates: tuple[_Rings, ...]


class _Feature(_Object, frozen=True, tag="Feature"):
    geometry: _Polygon | _MultiPolygon


class _FeatureCollection(_Object, frozen=True, tag="FeatureCollection"):
    features: tuple[_Feature, ...]


_GeoJson: TypeAlias = _Polygon | _MultiPolygon | _Feature | _FeatureCollection


def _area_of(found: _GeoJson, subject: str) -> AreaOfInterest:
    if found.crs and not found.crs.properties.name.endswith(_DEGREES):
        cause = f"is in the coordinate system {found.crs.properties.name}"
        raise UsageError(subject, cause, "Write it in longitude and latitude (RFC 7946)")
    polygons = tuple(
        tuple(tuple((position[0], position[1]) for position in ring) for ring in rings)
        for rings in _all_rings(found)
    )
    if not polygons:
        raise UsageError(subject, "has no polygon", _FORM)
    if sum(len(ring) for rings in polygons for ring in rings) > _MOST_POSITIONS:
        cause = f"has more than {_MOST_POSITIONS:,} positions"
        raise UsageError(subject, cause, "Simplify its polygons")
    for rings in polygons:
        for ring in rings:
            _check_ring(ring, subject)
    return AreaOfInterest(polygons)


def _all_rings(found: _GeoJson) -> Iterator[_Rings]:
    if isinstance(found, _Polygon):
        yield found.coordinates
    elif isinstance(found, _MultiPolygon):
        yield from found.coordinates
    elif isinstance(found, _Feature):
        yield from _all_rings(found.geometry)
    else:
        for feature in found.features:
            yield from _all_rings(feature.geometry)


def _check_ring(ring: tuple[Position, ...], subject: str) -> None:
    for position in ring:
        _check_position(position, subject)
    if ring[0] != ring[-1]:
        cause = f"has a ring that begins at {_shown(ring[0])} but ends at {_shown(ring[-1])}"
        raise UsageError(subject, cause, "End each ring with its first position")
    for (start, _), (end, _) in pairwise(ring):
        if _HALF_TURN < abs(end - start) < 2 * _HALF_TURN:
            cause = f"has an edge from longitude {start:g} to {end:g}, which can be either way"
            cure = (
                "Cut it at the antimeridian into a MultiPolygon (RFC 7946), or add positions "
                "between"
            )
            raise UsageError(subject, cause, cure)


def _check_position(position: Position, subject: str) -> None:
    longitude, latitude = position
    if not (abs(longitude) <= 2 * _HALF_TURN and abs(latitude) <= _HALF_TURN / 2):
        cause = f"has the position {_shown(position)}, which is not longitude and latitude"
        raise UsageError(subject, cause, _ORDER)


def _shown(position: Position) -> str:
    return f"{position[0]:.9g}, {position[1]:.9g}"
