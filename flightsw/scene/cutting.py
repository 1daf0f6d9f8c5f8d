"""A scene cut to an area of interest: a smaller scene, and the ground that its windows see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np

from flightsw.errors import AreaOutside, BadMetadata
from flightsw.scene.area import AreaOfInterest, Polygon
from flightsw.scene.array_scene import ArrayScene
from flightsw.scene.rings import TURN, Ring, densified, to_degrees, to_pixels, within
from flightsw.scene.scene import Cut, Georeference, Scene, SceneMetadata
from flightsw.scene.strips import StripScene
from flightsw.scene.tiling import STRIDE, TILE_SIZE, Grid

_STEPS: Final = 16  # on a side of the scene
_MARGIN: Final = 1.0  # degrees around the scene, so that where polygons are clipped is outside it
_STEP: Final = 0.01  # degrees: an edge is straight there, on the grid it bends by a centimetre
_TURNS: Final = [np.array((turn, 0.0)) for turn in (-TURN, 0.0, TURN)]
"""Longitudes of area and scene may differ by one."""
_ROUNDING: Final = 1e-3  # pixels: a centimetre, the seventh digit of a degree

Box: TypeAlias = tuple[float, float, float, float]
"""Smallest x and y, largest x and y."""


@dataclass(frozen=True)
class WindowReach:
    """How far the answer for a pixel depends on its surroundings.

    Windows of ``tile_size`` every ``stride`` pixels show it, and a buffer of ``buffer_m`` metres
    brings in the answers around it.
    """

    tile_size: int = TILE_SIZE
    stride: int = STRIDE
    buffer_m: float = 0.0


USUAL_REACH: Final = WindowReach()


def cut_to_area(scene: StripScene | ArrayScene, area: AreaOfInterest, reach: WindowReach) -> Scene:
    """The rectangle of a scene around an area; only it and what ``reach`` needs are read.

    Every pixel gets the answer that it has in the mask of the whole scene.  Raises
    :class:`AreaOutside`, and :class:`BadMetadata` if the scene has no georeference.
    """
    return replace(scene, metadata=_cut_metadata(scene.metadata, area, reach))


def _cut_metadata(whole: SceneMetadata, area: AreaOfInterest, reach: WindowReach) -> SceneMetadata:
    place = whole.georeference
    if place is None:
        cause = "has no georeference, so the area cannot be found in it"
        raise BadMetadata(whole.name, cause, "Give a product with its grid, or omit the area")
    found = _Found(area, whole, place)
    rows, columns = found.rectangle()
    return replace(
        whole,
        name=f"{whole.name}_{area.label}",
        height=len(rows),
        width=len(columns),
        georeference=_moved(place, rows.start, columns.start),
        remarks=(*whole.remarks, *("the area reaches beyond the scene",) * found.beyond),
        cut=Cut(
            area,
            rows.start,
            columns.start,
            *_seen(rows, columns, whole, reach),
            polygons=() if area.bounds else found.from_corner(rows.start, columns.start),
        ),
    )


class _Found:
    """The polygons of an area on the pixel grid of a scene, cut to the scene.

    ``beyond`` says whether parts of them lie outside it.  Raises :class:`AreaOutside` if all do.
    """

    def __init__(self, area: AreaOfInterest, whole: SceneMetadata, place: Georeference) -> None:
        self._whole = whole
        self._place = place
        self._around = _box_around(whole, place)
        self._polygons: list[list[Ring]] = []
        self.beyond = False
        for polygon in area.polygons:
            rings = [np.array(ring, np.float64) for ring in polygon]
            turned = [self._cut([ring + turn for ring in rings]) for turn in _TURNS]
            self._polygons += [inside for inside, _ in turned if inside]
            self.beyond = self.beyond or not any(complete for _, complete in turned)
        if not self._polygons:
            raise self._outside(area)

    def rectangle(self) -> tuple[range, range]:
        """Rows and columns of the scene around all polygons, snapped outward to pixels."""
        corners = np.concatenate([rings[0] for rings in self._polygons])
        lows, highs = corners.min(axis=0), corners.max(axis=0)
        (left, top), (right, bottom) = lows.tolist(), highs.tolist()
        return _snapped(top, bottom, self._whole.height), _snapped(left, right, self._whole.width)

    def from_corner(self, top: int, left: int) -> tuple[Polygon, ...]:
        """Their rings of (column, row), counted from this pixel."""
        return tuple(
            tuple(tuple(map(tuple, (ring - (left, top)).tolist())) for ring in rings)
            for rings in self._polygons
        )

    def _cut(self, rings: Sequence[Ring]) -> tuple[list[Ring], bool]:
        """The rings of (column, row) inside the scene, and whether that is all of them."""
        near, all_near = _clipped(rings, self._around)
        on_grid = [to_pixels(densified(ring, _STEP), self._place) for ring in near]
        placed = [ring for ring in on_grid if ring is not None]
        scene = (0.0, 0.0, float(self._whole.width), float(self._whole.height))
        inside, all_inside = _clipped(placed, scene, _ROUNDING)
        return inside, all_near and all_inside and len(placed) == len(rings)

    def _outside(self, area: AreaOfInterest) -> AreaOutside:
        west, south, east, north = self._around
        cause = (
            f"lies outside {self._whole.name}, which covers the longitudes {west + _MARGIN:.4f} to "
            f"{east - _MARGIN:.4f} and the latitudes {south + _MARGIN:.4f} to {north - _MARGIN:.4f}"
        )
        swapped = [[np.array(ring)[:, ::-1] for ring in polygon] for polygon in area.polygons]
        if any(self._cut(rings)[0] for rings in swapped):
            cure = "Give longitude before latitude: with the two swapped, it lies in the scene"
        else:
            cure = "Give an area in the scene, or another scene"
        return AreaOutside("the area", cause, cure)


def _clipped(rings: Sequence[Ring], box: Box, margin: float = 0.0) -> tuple[list[Ring], bool]:
    """The parts of a polygon's rings in a box, none if the outer one is outside; whether all."""
    west, south, east, north = box
    parts = [
        within(ring, (west - margin, south - margin, east + margin, north + margin))
        for ring in rings
    ]
    if not parts or not len(parts[0]):
        return [], False
    complete = all(map(np.array_equal, parts, rings))
    return [part for part in parts if len(part)], complete


def _box_around(whole: SceneMetadata, place: Georeference) -> Box:
    """West, south, east, north of the scene, and some degrees more; longitudes are continuous.

    Raises :class:`BadMetadata` if its grid does not lie on Earth.
    """
    height, width = whole.height, whole.width
    border = np.array([(0, 0), (width, 0), (width, height), (0, height), (0, 0)], np.float64)
    ring = to_degrees(densified(border, max(height, width) / _STEPS), place)
    if ring is None:
        cause = f"has a grid in {place.crs[:40]} that does not lie on Earth"
        raise BadMetadata(whole.name, cause, "Correct its georeference, or omit the area")
    west, south = (ring.min(axis=0) - _MARGIN).tolist()
    east, north = (ring.max(axis=0) + _MARGIN).tolist()
    if abs(ring[-1, 0] - ring[0, 0]) > TURN / 2:  # around a pole
        return (-TURN, south, TURN, 90.0) if north > 0 else (-TURN, -90.0, TURN, north)
    return west, south, east, north


def _snapped(low: float, high: float, size: int) -> range:
    """The pixels between two edges, at least one."""
    start = min(max(0, math.floor(low + _ROUNDING)), size - 1)
    return range(start, max(start + 1, min(size, math.ceil(high - _ROUNDING))))


def _seen(
    rows: range, columns: range, whole: SceneMetadata, reach: WindowReach
) -> tuple[range, range]:
    """Rows and columns of all windows that show a pixel within the buffer's distance."""
    grid = Grid(whole.height, whole.width, reach.tile_size, reach.stride)
    further = math.ceil(reach.buffer_m / whole.ground_sample_distance)
    return grid.seen_around(
        range(max(0, rows.start - further), min(whole.height, rows.stop + further)),
        range(max(0, columns.start - further), min(whole.width, columns.stop + further)),
    )


def _moved(place: Georeference, top: int, left: int) -> Georeference:
    """The grid that begins at this pixel of the other one."""
    a, b, x, d, e, y = place.transform
    return replace(place, transform=(a, b, x + a * left + b * top, d, e, y + d * left + e * top))
