"""A scene that is overcast as the network sees it at 80 m, where a small scene shows it nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flightsw.model.package import load_package
from tests.unit.flightsw.scene.safe_writer import SafeProduct


def write_overcast(parent: Path) -> Path:
    """Write a product of 20 m bands that show a golden tile at 80 m, and return its folder."""
    package = load_package()
    golden = package.golden_tiles()
    steps = golden.tiles[golden.names.index("overcast")] - float(package.input.zero_point)
    numbers = np.rint(steps * package.input.scale * 10_000 + 1000).astype(np.uint16)
    shown = dict(zip(("B02", "B03", "B04", "B8A"), numbers.transpose(2, 0, 1), strict=True))
    return SafeProduct({20: tuple(shown)}, 896, 896, tile=(224, 224)).write(
        parent, pixels=lambda band: shown[band].repeat(4, axis=0).repeat(4, axis=1)
    )
