"""The six pictures of the quick-look, each from the reduced scene: uint8 BGR (rows, columns, 3)."""

from __future__ import annotations

import math
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from flightsw.products.geotiff import CLASS_COLOURS
from flightsw.products.preview import PREVIEW_BANDS, Preview

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]
"""Red, green, blue."""

CLEAR_COLOUR: Final[Colour] = CLASS_COLOURS[0]
CONTAMINATED_COLOUR: Final[Colour] = CLASS_COLOURS[1]
NO_DATA_COLOUR: Final[Colour] = (48, 48, 48)
OVERLAY_COLOUR: Final[Colour] = (255, 64, 32)

_OVERLAY_OPACITY: Final = 0.55
_GRID_CELLS: Final = 40
_LARGEST_SAMPLE: Final = 500_000
_SMALLEST_SPAN: Final = 400  # digital numbers, 0.04 in reflectance: noise of dark scenes stays dark
_GAMMA: Final = 1 / 1.4


def true_colour(preview: Preview) -> Picture:
    """B04, B03, B02 with one stretch for all three, so that hues are kept."""
    return _composite(preview, ("B04", "B03", "B02"), shared_span=True)


def false_colour(preview: Preview) -> Picture:
    """B08, B04, B03, each stretched separately: vegetation is red."""
    return _composite(preview, ("B08", "B04", "B03"), shared_span=False)


def mask_picture(preview: Preview) -> Picture:
    """Clear, contaminated (half of the block or more) and no data, in plain colours."""
    picture = np.empty((*preview.valid.shape, 3), np.uint8)
    picture[:] = bgr(CLEAR_COLOUR)
    contaminated = preview.contaminated.astype(np.uint16) * 2 >= preview.valid
    picture[contaminated] = bgr(CONTAMINATED_COLOUR)
    return _without_no_data(picture, preview)


def overlay(preview: Preview, colour: Picture) -> Picture:
    """The true-colour picture, tinted by the share of contaminated pixels."""
    opacity = preview.contaminated * np.float32(_OVERLAY_OPACITY / 255)
    picture = np.empty_like(colour)
    for channel, tint in enumerate(bgr(OVERLAY_COLOUR)):
        plane = colour[..., channel]
        picture[..., channel] = np.rint(plane + (np.float32(tint) - plane) * opacity)
    return _without_no_data(picture, preview)


def filled(preview: Preview, colour: Picture) -> Picture:
    """True colour with every contaminated block replaced by the mean of the clear ones."""
    picture = colour.copy()
    clear = _clear(preview)
    if clear.any():
        picture[preview.contaminated > 0] = np.rint(colour[clear].mean(axis=0))
    return _without_no_data(picture, preview)


def cloud_fraction(preview: Preview) -> Picture:
    """Share of contaminated pixels in cells of a coarse grid, as colours of :func:`heat`."""
    rows, columns = preview.valid.shape
    cell = -(-max(rows, columns) // _GRID_CELLS)
    size = (-(-columns // cell), -(-rows // cell))
    padding = (0, size[1] * cell - rows, 0, size[0] * cell - columns)
    valid, contaminated = (
        cv2.resize(
            cv2.copyMakeBorder(plane.astype(np.float32), *padding, cv2.BORDER_CONSTANT, value=0),
            size,
            interpolation=cv2.INTER_AREA,
        ).reshape(size[::-1])
        for plane in (preview.valid, preview.contaminated)
    )
    share = np.divide(contaminated, valid, out=np.zeros_like(valid), where=valid > 0)
    cells = heat(share)
    cells[valid == 0] = bgr(NO_DATA_COLOUR)
    return cells.repeat(cell, axis=0).repeat(cell, axis=1)[:rows, :columns]


def heat(share: NDArray[np.float32]) -> Picture:
    """Colours for shares from 0 to 1."""
    levels = np.rint(share * 255).astype(np.uint8)
    return _picture(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS))


def bgr(colour: Colour) -> Colour:
    """A colour in OpenCV's order of channels."""
    red, green, blue = colour
    return blue, green, red


def _composite(preview: Preview, bands: tuple[str, str, str], *, shared_span: bool) -> Picture:
    planes = [preview.digital_numbers[PREVIEW_BANDS.index(band)] for band in bands]
    step = 1 + math.isqrt(preview.valid.size // _LARGEST_SAMPLE)
    chosen = _clear_land(preview, step)
    limits = [np.percentile(plane[::step, ::step][chosen], (1, 99)).tolist() for plane in planes]
    spans = [max(high - low, _SMALLEST_SPAN) for low, high in limits]
    if shared_span:
        spans = [max(spans)] * len(spans)
    stretched = [
        cv2.LUT(plane, _stretch_table(low, span))
        for plane, (low, _), span in zip(planes, limits, spans, strict=True)
    ]
    return _without_no_data(_picture(cv2.merge(stretched[::-1])), preview)


def _stretch_table(low: float, span: float) -> NDArray[np.uint8]:
    share = np.clip((np.arange(1 << 16) - low) / span, 0, 1)
    levels: NDArray[np.uint8] = np.rint(share**_GAMMA * 255).astype(np.uint8)
    return levels.reshape(1, -1)


def _clear(preview: Preview) -> NDArray[np.bool_]:
    return np.asarray((preview.valid > 0) & (preview.contaminated == 0))


def _clear_land(preview: Preview, step: int) -> NDArray[np.bool_]:
    """The pixels, one row and column in ``step``, that set the brightness: clear land if there is
    enough, otherwise any clear pixels, otherwise all valid ones."""
    green, near_infrared = (
        preview.digital_numbers[PREVIEW_BANDS.index(band)] for band in ("B03", "B08")
    )
    clear, valid = _clear(preview), preview.valid > 0
    choices = [choice[::step, ::step] for choice in (clear & (near_infrared > green), clear, valid)]
    enough = max(1, choices[-1].sum() // 100)
    return next((choice for choice in choices if choice.sum() >= enough), np.ones_like(choices[-1]))


def _without_no_data(picture: Picture, preview: Preview) -> Picture:
    picture[preview.valid == 0] = bgr(NO_DATA_COLOUR)
    return picture


def _picture(drawn: NDArray[Any]) -> Picture:
    """OpenCV's picture with its real type."""
    return drawn.astype(np.uint8, copy=False)
