"""Where a release is most wrong on the images that people labelled, and pictures of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from deploy.model.card import Failure
from deploy.model.contender import Contender
from deploy.model.dataset import Tile, read_split

MOST: Final = 6
"""Pictures on the page."""

_SIDE: Final = 224
_LEAST_DECIDED: Final = 0.01  # of a square's pixels
_WHITE: Final = 0.4  # reflectance that is drawn as white
_GAP: Final = 8  # pixels between two pictures
_QUALITY: Final = 85

_CLEAR: Final = (90, 90, 90)
_FOUND: Final = (235, 235, 235)
_MISSED: Final = (220, 40, 40)
_FALSE: Final = (250, 170, 30)
_UNKNOWN: Final = (40, 50, 70)

Picture = NDArray[np.uint8]


def worst_squares(tiles: Sequence[Tile], release: Contender) -> list[Failure]:
    """The squares with the largest share of wrong pixels, one of an image."""
    worst = [max(_squares(tile, release), key=_wrong, default=None) for tile in tiles]
    return sorted(filter(None, worst), key=_wrong, reverse=True)[:MOST]


def draw(
    failures: Sequence[Failure], tiles: Sequence[Tile], release: Contender, path: Path
) -> None:
    """Write one JPEG: above each square in true colour, and below it the mask and its faults."""
    columns = [_column(one, tiles, release) for one in failures]
    gap = np.full((columns[0].shape[0], _GAP, 3), 255, np.uint8)
    joined = [part for column in columns for part in (column, gap)][:-1]
    picture = np.hstack(joined)
    found, encoded = cv2.imencode(".jpg", picture[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
    assert found
    path.write_bytes(encoded.tobytes())


def _squares(tile: Tile, release: Contender) -> Iterator[Failure]:
    contaminated, decided = _decided(tile)
    found = release.probability(tile) > 0.5
    part = read_split().part_of(tile.region)
    height, width = decided.shape
    side = min(_SIDE, height, width)
    for row, column in np.ndindex(height // side, width // side):
        place = _place(row * side, column * side, side)
        pixels = decided[place]
        if pixels.mean() < _LEAST_DECIDED:
            continue
        wrong = found[place] != contaminated[place]
        yield Failure(
            image=tile.name,
            metres=tile.ground_sample_distance,
            part=part,
            row=row * side,
            column=column * side,
            side=side,
            missed=round(float((wrong & contaminated[place])[pixels].mean()), 4),
            false_alarms=round(float((wrong & found[place])[pixels].mean()), 4),
        )


def _decided(tile: Tile) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The contaminated pixels ``(H, W)``, and those of which people decided whether they are.

    What they left open between clear and shadow, or clear and cloud, does not count.
    """
    assert tile.allowed is not None
    clear, cloud, shadow = tile.allowed > 0
    contaminated = (cloud | shadow) & ~clear & tile.valid
    return contaminated, contaminated | clear & ~(cloud | shadow) & tile.valid


def _wrong(failure: Failure) -> float:
    return failure.missed + failure.false_alarms


def _column(failure: Failure, tiles: Sequence[Tile], release: Contender) -> Picture:
    split = read_split()
    [tile] = (
        one
        for one in tiles
        if one.name == failure.image and split.part_of(one.region) == failure.part
    )
    place = _place(failure.row, failure.column, failure.side)
    contaminated, decided = (one[place] for one in _decided(tile))
    found = (release.probability(tile) > 0.5)[place]
    blue, green, red, _ = tile.four_bands[(slice(None), *place)]
    colours = np.clip(np.stack([red, green, blue], axis=-1) / _WHITE, 0, 1) ** 0.7
    faults = np.select(
        [one[..., None] for one in (~decided, found & contaminated, contaminated, found)],
        [np.array(one, np.uint8) for one in (_UNKNOWN, _FOUND, _MISSED, _FALSE)],
        np.array(_CLEAR, np.uint8),
    )
    gap = np.full((_GAP, failure.side, 3), 255, np.uint8)
    column = np.vstack([(255 * colours).astype(np.uint8), gap, faults.astype(np.uint8)])
    return np.asarray(cv2.resize(column, (_SIDE, 2 * _SIDE + _GAP)), np.uint8)


def _place(row: int, column: int, side: int) -> tuple[slice, slice]:
    return slice(row, row + side), slice(column, column + side)
