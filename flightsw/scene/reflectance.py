"""Digital numbers as reflectance."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

DIGITAL_NUMBERS: Final = 65_536
"""Count of the 16-bit values."""

NO_DATA: Final = 0
SATURATED: Final = 65_535


def reflectance_table(offset: float, quantification: float, dtype: Any) -> NDArray[Any]:
    """Reflectance of every digital number, ``(DN + offset) / quantification``: ``(65536,)``.

    Computed in float64, then rounded to ``dtype``.  DN 0 (no data) becomes reflectance 0; DN 65,535
    (saturated) is converted like any other and is the largest.
    """
    reflectance = (np.arange(DIGITAL_NUMBERS, dtype=np.float64) + offset) / quantification
    reflectance[NO_DATA] = 0.0
    return reflectance.astype(dtype)
