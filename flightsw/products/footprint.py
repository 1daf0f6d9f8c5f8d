"""Where the valid pixels of a scene lie on Earth: polygon and bounding box of RFC 7946."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np

from flightsw.products.contents import NO_DATA, FinishedRows
from flightsw.scene.rings import TURN, Ring, densified, to_degrees, west_of
from flightsw.scene.scene import Georeference

_STEPS: Final = 8  # straight in the grid is not straight in longitude and latitude
_DIGITS: Final = 7  # degrees: a centimetre


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
    step = np.ptp(pixels, axis=0).max() / _STEPS
    ring = to_degrees(densified(pixels, step), place)
    if ring is None:
        return None
    longitudes, latitudes = ring.T
    if around_pole := abs(longitudes[-1] - longitudes[0]) > TURN / 2:
        pole = math.copysign(90, latitudes.mean())
        ring = np.array([*ring, (longitudes[-1], pole), (longitudes[0], pole), ring[0]])
    parts = [[part.tolist()] for part in _cut(ring)]
    if len(parts) == 1:
        geometry = {"type": "Polygon", "coordinates": parts[0]}
    else:
        geometry = {"type": "MultiPolygon", "coordinates": parts}
    return Footprint(geometry, _bounding_box(ring, around_pole=around_pole))


def _cut(ring: Ring) -> Iterator[Ring]:
    """The parts of a ring of continuous longitudes between -180 and 180, counter-clockwise."""
    first, last = (math.floor((side(ring[:, 0]) + 180) / TURN) for side in (np.min, np.max))
    for turn in range(first, last + 1):
        shifted = ring - (turn * TURN, 0)
        part = np.round(west_of(west_of(shifted, 180.0) * (-1, 1), 180.0) * (-1, 1), _DIGITS)
        if area := _signed_area(part):
            yield part if area > 0 else part[::-1]


def _signed_area(ring: Ring) -> float:
    x, y = ring.T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2) if len(ring) else 0.0


def _bounding_box(ring: Ring, *, around_pole: bool) -> list[float]:
    (west, south), (east, north) = ring.min(axis=0).tolist(), ring.max(axis=0).tolist()
    turn = math.floor((west + 180) / TURN) * TURN
    west, east = west - turn, east - turn
    east -= TURN if east > 180 else 0
    if around_pole:
        west, east = -180.0, 180.0
    return [round(side, _DIGITS) for side in (west, south, east, north)]
