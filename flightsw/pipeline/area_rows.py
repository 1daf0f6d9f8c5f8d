"""Finished rows are cut to the area of interest."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from rasterio import Affine
from rasterio.features import geometry_mask

from flightsw.products.contents import NO_DATA, FinishedRows
from flightsw.scene.area import Polygon
from flightsw.scene.scene import SceneMetadata


class AreaRows:
    """Cuts rows of what the strips show to a scene's own pixels.

    Pixels whose centre lies outside all polygons become no data.
    """

    def __init__(self, scene: SceneMetadata) -> None:
        assert scene.cut
        self._top = scene.cut.top - scene.cut.rows.start
        left = scene.cut.left - scene.cut.columns.start
        self._columns = slice(left, left + scene.width)
        self._height = scene.height
        self._shapes = [_geometry(polygon) for polygon in scene.cut.polygons]

    def of(self, rows: FinishedRows) -> Iterator[FinishedRows]:
        """The scene's part of these rows, copied; nothing if they are above or below it."""
        top = max(0, rows.top - self._top)
        bottom = min(self._height, rows.top - self._top + len(rows.mask))
        if top >= bottom:
            return
        inside = slice(top + self._top - rows.top, bottom + self._top - rows.top)
        numbers = rows.digital_numbers
        outside = self._outside(top, bottom)

        def part(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
            return np.where(outside, np.uint8(NO_DATA), plane[inside, self._columns])

        yield FinishedRows(
            top,
            None if numbers is None else numbers[:, inside, self._columns].copy(),
            part(rows.mask),
            None if rows.classes is None else part(rows.classes),
            None if rows.probability is None else part(rows.probability),
        )

    def _outside(self, top: int, bottom: int) -> NDArray[np.bool_]:
        shape = (bottom - top, self._columns.stop - self._columns.start)
        if not self._shapes:
            return np.zeros(shape, np.bool_)
        outside: NDArray[np.bool_] = geometry_mask(self._shapes, shape, Affine.translation(0, top))
        return outside


def _geometry(polygon: Polygon) -> dict[str, object]:
    return {"type": "Polygon", "coordinates": polygon}
