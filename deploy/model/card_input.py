"""What the card sees of reflectance: windows of 224 pixels in steps of INT8."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

INPUT_SCALE: Final = 0.004
"""Reflectance per INT8 step of the card's input: 0 to 1.02 in 256 steps."""

INPUT_LIMIT: Final = INPUT_SCALE * 255
WINDOW: Final = 224


def as_card_input(reflectance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reflectance after the card's INT8 input: clipped to 0 to 1.02, in steps of 0.004."""
    steps: NDArray[np.float32] = np.rint(reflectance / INPUT_SCALE).clip(0, 255)
    return (steps * INPUT_SCALE).astype(np.float32)
