"""What surrounds the ground in a window: never a wall of zeros, which the network was not taught.

Both rules see one window only, so that tiles do not depend on strips or panels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from flightsw.engines.engine import Tiles
from flightsw.pipeline.pixel_words import as_words


def surround(tile: Tiles, rows: int, columns: int, missing: NDArray[np.bool_] | None) -> None:
    """Continue the ground of a window over the rest of it.

    ``tile`` ``(S, S, bands)`` is changed in place.  It shows the scene in its upper left ``rows``
    x ``columns`` pixels, and continues as their mirror image.  ``missing`` bool ``(rows,
    columns)``, or None, marks pixels without data, at least one false: they get the values of the
    nearest pixel with data.
    """
    side = len(tile)
    if missing is not None and not missing.any():
        missing = None
    if min(rows, columns) < side:
        mirror = np.ix_(_mirrored(rows, side), _mirrored(columns, side))
        tile[:] = tile[mirror]
        missing = None if missing is None else missing[mirror]
    if missing is not None:
        _continue_ground(tile, missing)


def _continue_ground(tile: Tiles, missing: NDArray[np.bool_]) -> None:
    _, nearest = cv2.distanceTransformWithLabels(
        missing.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    ground, holes = np.flatnonzero(~missing), np.flatnonzero(missing)
    nearest = nearest.ravel()
    source = np.zeros(nearest.max() + 1, np.intp)
    source[nearest[ground]] = ground
    pixels = as_words(tile).reshape(len(nearest), -1)
    pixels[holes] = pixels[source[nearest[holes]]]


def _mirrored(inside: int, side: int) -> NDArray[np.intp]:
    """Index of the pixel that each of ``side`` pixels shows: 0 1 2 2 1 0 0 1 for 3 inside."""
    places = np.arange(side) % (2 * inside)
    return np.minimum(places, 2 * inside - 1 - places)
