"""Random training windows: scale, flip, rotation, gain, haze, and the card's own input steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset

from deploy.model.card_input import WINDOW, as_card_input
from deploy.model.clouded import CLOUDED
from deploy.model.dataset import BANDS
from deploy.model.label import TaughtTile
from deploy.model.sea import SEA
from deploy.model.simulated import SIMULATED
from deploy.model.surfaces import BRIGHT
from telecommands.groundsim.scenes.spectra import path_reflectance

_SCALE_SHARES: Final = {10: 0.35, 20: 0.2, 30: 0.25, 40: 0.08, 60: 0.12}
PEOPLE_SHARE: Final = 0.3
"""Of the windows of a scale, from images that people labelled."""

_SIMULATED_SHARE: Final = 0.08  # with their truth; the teacher has the rest
_CLOUDED_SHARE: Final = 0.2  # real images and simulated sea under simulated clouds
MOST_PEOPLE: Final = 0.7
"""The largest share that leaves windows to the teacher."""

_PEOPLE: Final = "people"
_TEACHER: Final = "teacher"

BRIGHT_BLUE: Final = 0.30
"""Reflectance of B02 that separates thick from thin cloud."""

_BLUE_SOFTNESS: Final = 0.04

_VISIBLE: Final = ("B02", "B03", "B04")
_SURE: Final = 0.8  # probability of clear


@dataclass(frozen=True)
class Window:
    """Reflectance ``(C, S, S)``, class probabilities ``(C, S, S)``, weight ``(S, S)``."""

    reflectance: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    weight: NDArray[np.float32]


class CropStream(IterableDataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]):
    """Endless random windows: a scale, then a tile of it in proportion to its area."""

    def __init__(
        self,
        tiles: list[TaughtTile],
        seed: int,
        people_share: float = PEOPLE_SHARE,
        bands: tuple[str, ...] = BANDS,
        side: int = WINDOW,
    ) -> None:
        self._tiles = tiles
        self._bands = bands
        self._side = side
        self._chances = _chances(tiles, people_share)
        self._seed = seed

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        worker = torch.utils.data.get_worker_info()
        random = np.random.default_rng((self._seed, worker.id if worker else 0))
        while True:
            tile = self._tiles[random.choice(len(self._tiles), p=self._chances)]
            window = augment(cut(tile, random, self._bands, self._side), random, self._bands)
            yield (
                torch.from_numpy(window.reflectance),
                torch.from_numpy(window.probabilities),
                torch.from_numpy(window.weight),
            )


def cut(
    tile: TaughtTile,
    random: np.random.Generator,
    bands: tuple[str, ...] = BANDS,
    side: int = WINDOW,
) -> Window:
    """Cut a window; a tile that is smaller continues as its mirror image, as in flight."""
    top, left = (_start(length, side, random) for length in tile.valid.shape)
    planes = (tile.of(bands), tile.probabilities, tile.valid[None].astype(np.float32))
    area = np.s_[:, top : top + side, left : left + side]
    reflectance, probabilities, valid = (mirrored(plane[area], side) for plane in planes)
    return Window(reflectance, probabilities, valid[0])


def augment(window: Window, random: np.random.Generator, bands: tuple[str, ...] = BANDS) -> Window:
    """Flip, rotate, vary gain (0.75 to 1.25, each band 5 % more) and haze, then step as the card.

    Haze, in half of the windows, adds from -0.4 to 0.8 times the path reflectance of clean air,
    which L1C has and L2A does not:
    what separates L1C from L2A, and one sensor or date from another.
    """
    turns, flip = int(random.integers(4)), bool(random.integers(2))

    def turned(array: NDArray[np.float32]) -> NDArray[np.float32]:
        rotated = np.rot90(array, turns, axes=(-2, -1))
        return np.ascontiguousarray(rotated[..., ::-1] if flip else rotated)

    gain = random.uniform(0.75, 1.25) * random.uniform(
        0.95, 1.05, (window.reflectance.shape[0], 1, 1)
    )
    haze = path_reflectance(bands) * np.float32(
        random.uniform(-0.4, 0.8) if random.integers(2) else 0
    )
    reflectance = as_card_input(window.reflectance * gain.astype(np.float32) + haze)
    return Window(turned(reflectance), turned(window.probabilities), turned(window.weight))


def thick_share(reflectance: torch.Tensor, bands: tuple[str, ...] = BANDS) -> torch.Tensor:
    """Share of thick cloud within the teacher's cloud, ``(N, H, W)``, from ``(N, C, H, W)``.

    The teacher knows one class of cloud.  Thin cloud lets the ground through,
    so its blue reflectance distinguishes it.
    """
    return torch.sigmoid((reflectance[:, bands.index("B02")] - BRIGHT_BLUE) / _BLUE_SOFTNESS)


def bright_clear(
    reflectance: torch.Tensor, targets: torch.Tensor, bands: tuple[str, ...] = BANDS
) -> torch.Tensor:
    """Bright ground (sand, salt, roofs) that is surely clear, bool ``(N, H, W)``.

    ``reflectance`` ``(N, C, H, W)`` of ``bands``; ``targets`` ``(N, 3 or 4, H, W)``, clear first.
    """
    visible = [bands.index(band) for band in _VISIBLE if band in bands]
    return (reflectance[:, visible].mean(dim=1) > BRIGHT) & (targets[:, 0] > _SURE)


def _chances(tiles: list[TaughtTile], people_share: float) -> NDArray[np.float64]:
    """The chance of each tile: shares of scales, within them of kinds, then area.

    The teacher's tiles have the share of a kind that a scale lacks.
    """
    shares = {_PEOPLE: people_share, SIMULATED: _SIMULATED_SHARE, CLOUDED: _CLOUDED_SHARE}
    scales = np.array([tile.ground_sample_distance for tile in tiles])
    kinds = np.array([_kind(tile) for tile in tiles])
    chances = np.array([tile.valid.size for tile in tiles], dtype=np.float64)
    for scale in np.unique(scales):
        present = {*kinds[scales == scale].tolist()}
        rest = 1 - sum(share for kind, share in shares.items() if kind in present)
        for kind in present:
            group = (scales == scale) & (kinds == kind)
            share = _SCALE_SHARES.get(int(scale), 0.1) * shares.get(kind, rest)
            chances[group] *= share / chances[group].sum()
    return np.asarray(chances / chances.sum())


def _kind(tile: TaughtTile) -> str:
    if tile.region == SIMULATED:
        return SIMULATED
    if tile.region in {CLOUDED, SEA}:
        return CLOUDED
    return _PEOPLE if tile.labelled else _TEACHER


def _start(length: int, side: int, random: np.random.Generator) -> int:
    return int(random.integers(max(length - side, 0) + 1))


def mirrored(planes: NDArray[np.float32], side: int = WINDOW) -> NDArray[np.float32]:
    """Planes ``(C, H, W)`` of up to ``side`` a side, continued to it as their mirror image."""
    missing = [(0, side - length) for length in planes.shape[1:]]
    return np.pad(planes, [(0, 0), *missing], mode="symmetric")
