"""What lies below a cloud-free sky: the surface of each pixel, by the indices of its bands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deploy.model.card import SurfaceRow
from deploy.model.contender import Contender
from deploy.model.dataset import BANDS, Tile, read_split
from deploy.model.kept_out import interval
from deploy.model.label import TaughtTile
from deploy.model.scores import Confusion, confusion

SURFACES: Final = ("water", "snow", "vegetation", "bright ground", "other ground")
"""In the order in which a pixel is tested; the last is the rest (soil, towns, dry grass)."""

_CLEAR_TILES: Final = ("s1f11_spain",)
_WATER: Final = 0.0
"""Least NDWI, (green - nir) / (green + nir), of water (McFeeters 1996)."""
_DARK: Final = 0.15
"""Largest near infrared of water: snow and cloud have a positive NDWI too."""
_SNOW: Final = 0.4
"""Least NDSI, (green - swir) / (green + swir), of snow (Dozier 1989)."""
_LIT_SNOW: Final = 0.2
"""Least green of snow: water in shade has a large NDSI too."""
_VEGETATION: Final = 0.4
"""Least NDVI, (nir - red) / (nir + red), of closed vegetation (Tucker 1979)."""
BRIGHT: Final = 0.2
"""Least mean of blue, green, red of sand, salt, pale roofs and pale soil."""


def is_cloud_free(tile: Tile) -> bool:
    """Whether a data set says so of the whole tile: by its labels, or by the name it gave it."""
    if tile.allowed is not None:
        clear, *others = tile.allowed
        return bool(clear.all()) and not any(one.any() for one in others)
    return is_called_cloud_free(tile.name)


def is_called_cloud_free(name: str) -> bool:
    """Whether a data set gave a tile without labels a name that says so."""
    return ("_s2_" in name and "cloudy" not in name) or name in _CLEAR_TILES


def surfaces_of(tile: Tile | TaughtTile) -> NDArray[np.uint8]:
    """Index into :data:`SURFACES` of each pixel, uint8 ``(H, W)``.

    Snow is known only to tiles with B11.
    """
    blue, green, red, infrared = tile.of(BANDS)
    tests = [
        (_index(green, infrared) > _WATER) & (infrared < _DARK),
        _snow(tile, green),
        _index(infrared, red) > _VEGETATION,
        (blue + green + red) / 3 > BRIGHT,
    ]
    return np.select(tests, range(len(tests)), len(tests)).astype(np.uint8)


def surface_rows(tiles: Sequence[Tile], contenders: Sequence[Contender]) -> Iterator[SurfaceRow]:
    """What each network keeps clear of each surface, over those of the tiles that are cloud-free.

    Tiles that were kept out are counted apart from those that were taught or steered training.
    """
    split = read_split()
    counts: dict[tuple[str, bool, str], list[Confusion]] = {}
    for tile in tqdm([one for one in tiles if is_cloud_free(one)], "surfaces", disable=None):
        kept_out = split.part_of(tile.region) == "held_out"
        surfaces = surfaces_of(tile)
        for one in contenders:
            found = one.probability(tile) > 0.5
            for index, surface in enumerate(SURFACES):
                pixels = (surfaces == index) & tile.valid
                if pixels.any():
                    counted = confusion(found, np.zeros_like(found), pixels)
                    counts.setdefault((surface, kept_out, one.name), []).append(counted)
    for key in product(SURFACES, (True, False), (one.name for one in contenders)):
        if key in counts:
            surface, kept_out, name = key
            yield SurfaceRow(
                surface=surface,
                kept_out=kept_out,
                network=name,
                tiles=len(counts[key]),
                pixels=sum(one.pixels for one in counts[key]),
                clear_kept=interval(counts[key], lambda count: count.both_clear / count.pixels),
            )


def _snow(tile: Tile | TaughtTile, green: NDArray[np.float32]) -> NDArray[np.bool_]:
    if "B11" not in tile.names:
        return np.zeros(green.shape, np.bool_)
    swir = tile.bands[tile.names.index("B11")]
    return np.asarray((_index(green, swir) > _SNOW) & (green > _LIT_SNOW))


def _index(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalised difference."""
    return np.asarray((first - second) / np.maximum(first + second, 1e-6))
