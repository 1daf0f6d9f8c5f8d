"""Random training windows: scale, edge, flip, rotation, gain, and the card's own input steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset

from deploy.model.label import TaughtTile
from deploy.model.teacher import halve

INPUT_SCALE: Final = 0.004
"""Reflectance per INT8 step of the card's input: 0 to 1.02 in 256 steps."""

INPUT_LIMIT: Final = INPUT_SCALE * 255
WINDOW: Final = 224

_COARSE_SHARE: Final = 0.35  # of the windows, at twice the ground sample distance
_EDGE: Final = 56  # a window may pass the image's edge by this much, as at a scene's edge
_EDGE_SHARE: Final = 0.2
_BRIGHT_BLUE: Final = 0.30  # reflectance of B02 that separates thick from thin cloud
_BLUE_SOFTNESS: Final = 0.04


@dataclass(frozen=True)
class Window:
    """Reflectance ``(4, S, S)``, class probabilities ``(C, S, S)``, weight ``(S, S)``, S = 224."""

    reflectance: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    weight: NDArray[np.float32]


class CropStream(IterableDataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]):
    """Endless random windows; tiles are drawn in proportion to their area."""

    def __init__(self, tiles: list[TaughtTile], seed: int) -> None:
        self._tiles = tiles
        areas = np.array([tile.valid.size for tile in tiles], dtype=np.float64)
        self._chances = areas / areas.sum()
        self._seed = seed

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        worker = torch.utils.data.get_worker_info()
        random = np.random.default_rng((self._seed, worker.id if worker else 0))
        while True:
            tile = self._tiles[random.choice(len(self._tiles), p=self._chances)]
            window = augment(cut(tile, random), random)
            yield (
                torch.from_numpy(window.reflectance),
                torch.from_numpy(window.probabilities),
                torch.from_numpy(window.weight),
            )


def cut(tile: TaughtTile, random: np.random.Generator) -> Window:
    """Cut a window, at times at half the scale, at times over the edge (zeros, weight 0)."""
    large_enough = tile.ground_sample_distance == 10 and min(tile.valid.shape) >= 2 * WINDOW
    coarse = large_enough and random.random() < _COARSE_SHARE
    bands, probabilities, valid = tile.bands, tile.probabilities, tile.valid
    side = WINDOW * 2 if coarse else WINDOW
    top, left = (_start(length, side, random) for length in valid.shape)
    source = _overlap(top, left, side, valid.shape)
    channels = len(bands) + len(probabilities) + 1
    stack: NDArray[np.float32] = np.zeros((channels, side, side), np.float32)
    rows, columns = source
    target = np.s_[
        :, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
    ]
    stack[target] = np.concatenate(
        (bands[:, rows, columns], probabilities[:, rows, columns], valid[None, rows, columns])
    )
    if coarse:
        stack = halve(stack)
    count = bands.shape[0]
    return Window(stack[:count], stack[count:-1], (stack[-1] == 1).astype(np.float32))


def augment(window: Window, random: np.random.Generator) -> Window:
    """Flip, rotate, vary gain (0.8 to 1.2, each band 5 % more), then step as the card's input."""
    turns, flip = int(random.integers(4)), bool(random.integers(2))

    def turned(array: NDArray[np.float32]) -> NDArray[np.float32]:
        rotated = np.rot90(array, turns, axes=(-2, -1))
        return np.ascontiguousarray(rotated[..., ::-1] if flip else rotated)

    gain = random.uniform(0.8, 1.2) * random.uniform(
        0.95, 1.05, (window.reflectance.shape[0], 1, 1)
    )
    reflectance = as_card_input(window.reflectance * gain.astype(np.float32))
    return Window(turned(reflectance), turned(window.probabilities), turned(window.weight))


def as_card_input(reflectance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reflectance after the card's INT8 input: clipped to 0 to 1.02, in steps of 0.004."""
    steps: NDArray[np.float32] = np.rint(reflectance / INPUT_SCALE).clip(0, 255)
    return (steps * INPUT_SCALE).astype(np.float32)


def thick_share(reflectance: torch.Tensor) -> torch.Tensor:
    """Share of thick cloud within the teacher's cloud, ``(N, H, W)``, from ``(N, 4, H, W)``.

    The teacher knows one class of cloud.  Thin cloud lets the ground through,
    so its blue reflectance distinguishes it.
    """
    return torch.sigmoid((reflectance[:, 0] - _BRIGHT_BLUE) / _BLUE_SOFTNESS)


def _start(length: int, side: int, random: np.random.Generator) -> int:
    if length <= side:
        return int(random.integers(length - side, 1))
    start = int(random.integers(-_EDGE, length - side + _EDGE + 1))
    inside = int(np.clip(start, 0, length - side))
    return start if random.random() < _EDGE_SHARE else inside


def _overlap(top: int, left: int, side: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    return (
        slice(max(0, top), min(shape[0], top + side)),
        slice(max(0, left), min(shape[1], left + side)),
    )
