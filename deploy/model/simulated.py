"""Simulated tiles with their truth: cloud, thin cloud, and shadow displaced by the sun."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deploy.model.clouded import truth_of
from deploy.model.dataset import BANDS, Tile, reflectance
from telecommands.groundsim.scenes.fractal import Window
from telecommands.groundsim.scenes.generator import SceneGenerator, build_generator
from telecommands.groundsim.scenes.product_names import BANDS as FINE_BANDS
from telecommands.groundsim.scenes.product_names import COARSER_BANDS

SIMULATED: Final = "simulated"
"""The region of all simulated tiles."""

SIDE: Final = 896
"""Pixels a side of a simulated tile."""

_COVERS: Final = (0.1, 0.25, 0.4, 0.6)


def simulated_tiles(
    count: int, seed: int = 1, side: int = SIDE, bands: tuple[str, ...] = BANDS
) -> Iterator[Tile]:
    """Yield ``count`` tiles at 10 m, both levels and four degrees of cover in turn.

    With B10 among the ``bands`` all are L1C.
    """
    levels = ("L1C",) if "B10" in bands else ("L1C", "L2A")
    for number in range(count):
        level = levels[number % len(levels)]
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
        names: tuple[str, ...] = FINE_BANDS
        for distance in COARSER_BANDS:
            if {*bands} & {*COARSER_BANDS[distance]}:
                numbers = np.concatenate((numbers, _repeated(generator, side, distance)))
                names += COARSER_BANDS[distance]
        yield Tile(
            name=f"simulated_{number:03d}",
            region=SIMULATED,
            level="l1c" if level == "L1C" else "l2a",
            ground_sample_distance=10,
            names=names,
            bands=reflectance(numbers, 0),
            valid=(numbers != 0).all(axis=0),
            allowed=truth_of(truth),
        )


def _repeated(generator: SceneGenerator, side: int, distance: int) -> NDArray[np.uint16]:
    """Coarser bands, whose pixels are repeated to 10 m as in flight: ``(bands, side, side)``."""
    factor = distance // 10
    own = -(-side // factor)
    numbers = generator.render_coarser(Window(0, 0, own, own), distance)
    return numbers.repeat(factor, axis=1).repeat(factor, axis=2)[:, :side, :side]
