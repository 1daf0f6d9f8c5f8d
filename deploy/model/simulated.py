"""Simulated tiles with their truth: cloud, thin cloud, and shadow displaced by the sun."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from deploy.model.dataset import BANDS, TAUGHT_CLASSES, Tile, reflectance
from telecommands.groundsim.scenes.fractal import Window
from telecommands.groundsim.scenes.generator import build_generator
from telecommands.groundsim.scenes.sky import CLEAR, CLOUD_SHADOW, THICK_CLOUD, THIN_CLOUD

SIMULATED: Final = "simulated"
"""The region of all simulated tiles."""

SIDE: Final = 896
"""Pixels a side of a simulated tile."""

_COVERS: Final = (0.1, 0.25, 0.4, 0.6)
_CLASSES: Final = {"clear": (CLEAR,), "cloud": (THICK_CLOUD, THIN_CLOUD), "shadow": (CLOUD_SHADOW,)}


def simulated_tiles(count: int, seed: int = 1, side: int = SIDE) -> Iterator[Tile]:
    """Yield ``count`` tiles at 10 m, both levels and four degrees of cover in turn."""
    for number in range(count):
        level = ("L1C", "L2A")[number % 2]
        generator, _ = build_generator(
            seed=1000 * seed + number,
            size=side,
            level=level,  # type: ignore[arg-type]
            offset=0,
            cloud_cover=_COVERS[number // 2 % len(_COVERS)],
            edge=False,
            bits=7.0,
        )
        numbers, truth = generator.render(Window(0, 0, side, side))
        yield Tile(
            name=f"simulated_{number:03d}",
            region=SIMULATED,
            level="l1c" if level == "L1C" else "l2a",
            ground_sample_distance=10,
            names=BANDS,
            bands=reflectance(numbers, 0),
            valid=(numbers != 0).any(axis=0),
            allowed=np.stack([np.isin(truth, _CLASSES[name]) for name in TAUGHT_CLASSES]).astype(
                np.float32
            ),
        )
