"""Where the valid pixels of a scene lie on Earth: polygon and bounding box of RFC 7946."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.warp import transform

from flightsw.products.contents import NO_DATA, FinishedRows
from flightsw.scene.scene import Georeference

Ring = NDArray[np.float64]
"""``(points, 2)``: x or longitude, y or latitude; the first point is repeated at the end."""

_STEPS: Final = 8  # straight in the grid is not straight in longitude and latitude
_DIGITS: Final = 7  # degrees: a centimetre
_TURN: Final = 360.0


@dataclass(frozen=True)
class Footprint:
    """A GeoJSON geometry, Polygon or MultiPolygon, and its box: west, south, east, north.

    Across the antimeridian the geometry is cut in two, and west is greater than east.
    """

    geometry: dict[str, Any]
    bbox: list[float]


class ValidOutline:
    """A row sink that keeps the first and the last valid column of each row."""

    def __init__(self, height: int) -> None:
        self._firsts = np.zeros(height, np.int32)
        self._ends = np.zeros(height, np.int32)  # 0 if the row has no valid pixel

    def write(self, rows: FinishedRows) -> None:
        """Take the next rows."""
        valid = rows.mask != NO_DATA
        any_valid, here = valid.any(axis=1), slice(rows.top, rows.top + len(valid))
        self._firsts[here] = valid.argmax(axis=1)
        self._ends[here] = np.where(any_valid, valid.shape[1] - valid[:, ::-1].argmax(axis=1), 0)

    def hull(self) -> Ring:
        """The convex hull of all valid pixels: (column, row) of pixel corners.

        Raises :class:`ValueError` if no pixel is valid.
        """
        rows = np.flatnonzero(self._ends)
        if not rows.size:
            raise ValueError("no pixel is valid")
        columns = (self._firsts[rows], self._ends[rows])
        corners = [np.stack([at, rows + down], 1) for at in columns for down in (0, 1)]
        hull = cv2.convexHull(np.concatenate(corners).astype(np.int32))[:, 0]
        return np.concatenate([hull, hull[:1]]).astype(np.float64)


def footprint(pixels: Ring, place: Georeference) -> Footprint | None:
    """The polygon of a ring of (column, row); None if it does not lie on Earth."""
    a, b, left, d, e, top = place.transform
    columns, rows = _densified(pixels).T
    x, y = a * columns + b * rows + left, d * columns + e * rows + top
    try:
        longitudes, latitudes = np.array(transform(place.crs, "EPSG:4326", x, y))
    except CPLE_BaseError:  # what the coordinate library cannot project
        return None
    if not (np.abs(longitudes).max() <= _TURN and np.abs(latitudes).max() <= _TURN / 4):
        return None  # NaN is not, either
    longitudes = np.unwrap(longitudes, period=_TURN)
    ring = np.stack([longitudes, latitudes], 1)
    if around_pole := abs(longitudes[-1] - longitudes[0]) > _TURN / 2:
        pole = math.copysign(90, latitudes.mean())
        ring = np.array([*ring, (longitudes[-1], pole), (longitudes[0], pole), ring[0]])
    parts = [[part.tolist()] for part in _cut(ring)]
    if len(parts) == 1:
        geometry = {"type": "Polygon", "coordinates": parts[0]}
    else:
        geometry = {"type": "MultiPolygon", "coordinates": parts}
    return Footprint(geometry, _bounding_box(ring, around_pole=around_pole))


def _densified(ring: Ring) -> Ring:
    step = np.ptp(ring, axis=0).max() / _STEPS
    pieces = [
        np.linspace(start, end, max(1, round(math.dist(start, end) / step)), endpoint=False)
        for start, end in pairwise(ring)
    ]
    return np.concatenate([*pieces, ring[:1]])


def _cut(ring: Ring) -> Iterator[Ring]:
    """The parts of a ring of continuous longitudes between -180 and 180, counter-clockwise."""
    first, last = (math.floor((side(ring[:, 0]) + 180) / _TURN) for side in (np.min, np.max))
    for turn in range(first, last + 1):
        shifted = ring - (turn * _TURN, 0)
        part = np.round(_west_of(_west_of(shifted, 180.0) * (-1, 1), 180.0) * (-1, 1), _DIGITS)
        if area := _signed_area(part):
            yield part if area > 0 else part[::-1]


def _west_of(ring: Ring, limit: float) -> Ring:
    """The part of a polygon west of a meridian (Sutherland and Hodgman's clipping)."""
    kept: list[Any] = []
    for start, end in pairwise(ring):
        if start[0] <= limit:
            kept.append(start)
        if (start[0] < limit < end[0]) or (end[0] < limit < start[0]):
            share = (limit - start[0]) / (end[0] - start[0])
            kept.append((limit, start[1] + share * (end[1] - start[1])))
    return np.array([*kept, *kept[:1]]).reshape(-1, 2)


def _signed_area(ring: Ring) -> float:
    x, y = ring.T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2) if len(ring) else 0.0


def _bounding_box(ring: Ring, *, around_pole: bool) -> list[float]:
    (west, south), (east, north) = ring.min(axis=0).tolist(), ring.max(axis=0).tolist()
    turn = math.floor((west + 180) / _TURN) * _TURN
    west, east = west - turn, east - turn
    east -= _TURN if east > 180 else 0
    if around_pole:
        west, east = -180.0, 180.0
    return [round(side, _DIGITS) for side in (west, south, east, north)]
