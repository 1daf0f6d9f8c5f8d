"""Rings of polygons: on the pixel grid of a scene, and in longitude and latitude."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from rasterio import Affine
from rasterio._err import CPLE_BaseError
from rasterio.warp import transform

from flightsw.scene.scene import Georeference

Ring: TypeAlias = NDArray[np.float64]
"""``(points, 2)``: x or longitude, y or latitude; the first point is repeated at the end."""

TURN: Final = 360.0
"""Degrees."""

_DEGREES: Final = "EPSG:4326"


def densified(ring: Ring, step: float) -> Ring:
    """The ring with further points, about every ``step`` of its units, on its edges."""
    lengths = np.hypot(*np.diff(ring, axis=0).T)
    counts = np.maximum(1, np.rint(lengths / step)).astype(np.intp)
    firsts = np.repeat(np.cumsum(counts) - counts, counts)
    along = (np.arange(counts.sum()) - firsts) / np.repeat(counts, counts)
    places = np.append(np.repeat(np.arange(len(counts)), counts) + along, len(counts))
    return np.stack([np.interp(places, np.arange(len(ring)), side) for side in ring.T], axis=1)


def west_of(ring: Ring, limit: float) -> Ring:
    """The part of a polygon with x up to ``limit`` (Sutherland and Hodgman's clipping)."""
    if len(ring) and ring[:, 0].max() <= limit:
        return ring
    kept: list[Any] = []
    for start, end in pairwise(ring):
        if start[0] <= limit:
            kept.append(start)
        if (start[0] < limit < end[0]) or (end[0] < limit < start[0]):
            share = (limit - start[0]) / (end[0] - start[0])
            kept.append((limit, start[1] + share * (end[1] - start[1])))
    return np.array([*kept, *kept[:1]], np.float64).reshape(-1, 2)


def within(ring: Ring, box: tuple[float, float, float, float]) -> Ring:
    """The part of a polygon in a box: west, south, east, north.  Empty if nothing is inside."""
    west, south, east, north = box
    for sign, swapped, limit in ((1, 0, east), (-1, 0, -west), (1, 1, north), (-1, 1, -south)):
        turned = ring[:, ::-1] if swapped else ring
        clipped = west_of(sign * turned, limit) * sign
        ring = clipped[:, ::-1] if swapped else clipped
    return ring


def to_degrees(pixels: Ring, place: Georeference) -> Ring | None:
    """A ring of (column, row) in longitude and latitude; None if it does not lie on Earth.

    Longitudes are continuous: across the antimeridian they pass 180 or -180.  Around a pole, the
    last one differs from the first by a whole turn.
    """
    placed = _applied(Affine(*place.transform), pixels)
    degrees = _transformed(place.crs, _DEGREES, placed)
    if degrees is None:
        return None
    longitudes, latitudes = degrees.T
    if max(np.abs(longitudes).max(), 4 * np.abs(latitudes).max()) > TURN:
        return None
    return np.stack([np.unwrap(longitudes, period=TURN), latitudes], axis=1)


def to_pixels(degrees: Ring, place: Georeference) -> Ring | None:
    """The reverse: (column, row) of longitude and latitude; None if a point has no place there."""
    found = _transformed(_DEGREES, place.crs, degrees)
    return None if found is None else _applied(~Affine(*place.transform), found)


def _applied(grid: Affine, ring: Ring) -> Ring:
    a, b, c, d, e, f = grid[:6]
    x, y = ring.T
    return np.stack([a * x + b * y + c, d * x + e * y + f], axis=1)


def _transformed(source: str, target: str, ring: Ring) -> Ring | None:
    try:
        found = np.array(transform(source, target, *ring.T)).T
    except CPLE_BaseError:  # what the coordinate library cannot project
        return None
    return found if np.isfinite(found).all() else None
