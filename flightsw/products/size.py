"""The disk space that products take."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from flightsw.scene.scene import SceneMetadata

# Bytes a pixel, somewhat more than real masks take.
_BYTES_PER_PIXEL: Final = {
    "mask": 1.0,
    "geotiff": 1 / 16,
    "cog": 1 / 8,
    "classes": 1 / 4,
    "probability": 1 / 2,
    "fill": 6.0,
    "quicklook": 1 / 8,
}
_SMALL_FILES: Final = 256 << 10


def bytes_needed(chosen: Collection[str], scene: SceneMetadata) -> int:
    """Estimate of the products' size, in bytes."""
    pixels = scene.height * scene.width
    share = sum(_BYTES_PER_PIXEL.get(product, 0.0) for product in chosen)
    return int(pixels * share) + _SMALL_FILES
