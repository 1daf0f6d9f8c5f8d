"""Digital numbers as reflectance."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

DIGITAL_NUMBERS: Final = 65_536
"""How many there are in 16 bits."""

NO_DATA: Final = 0


def reflectance_table(offset: int, quantification: float, dtype: Any) -> NDArray[Any]:
    """Reflectance of every digital number, ``(DN + offset) / quantification``: ``(65536,)``.

    In float64, then rounded to ``dtype``.  DN 0 (no data) counts as reflectance 0; DN 65,535
    (saturated) is the largest as it stands.
    """
    reflectance = (np.arange(DIGITAL_NUMBERS, dtype=np.float64) + offset) / quantification
    reflectance[NO_DATA] = 0.0
    return reflectance.astype(dtype)
