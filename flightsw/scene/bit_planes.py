"""How many coding passes of each sub-band the network does not see, and the error without them.

A bit-plane of a code-block is coded in three passes (ISO/IEC 15444-1, annex D).  A reversible 5/3
wavelet (annex F) is assumed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flightsw.scene.passes import sub_band

_PASSES: Final = 3  # of a bit-plane
_NOISE: Final = 2
"""Variance that a sub-band's dropped passes may add, over that of the rounding of the network's
input: masks of real images hardly differ from those of 1 (decision 71)."""
_NOISE_OF_TEXTURE: Final = 1
"""The same of the finest HL and LH: ground without its texture looks like cloud."""

_LOW: Final = np.array([1, 2, 1]) / 2
_HIGH: Final = np.array([-1, -2, 6, -2, -1]) / 8
_ROUNDING: Final = 15 / 4
"""Largest difference that the roundings of one level add: 5/4 in each of the two directions, and
the first twice, since a sample of the second is made of two bands."""


def passes_to_drop(step: float, levels: int) -> tuple[int, ...]:
    """Coding passes to drop in each sub-band of ``levels`` decompositions; ``step`` in DN.

    ``step`` is that of the network's input.

    The bands are numbered as in :func:`~flightsw.scene.passes.sub_band`.  Dropping k bit-planes,
    3 k passes, rounds a coefficient to 2 ** k; that times the norm of the sub-band's synthesis
    function is at most ``step`` times the root of :data:`_NOISE` (of :data:`_NOISE_OF_TEXTURE` in
    HL and LH of the finest level).  A pass is a third of a plane.
    """
    dropped = [0] * (3 * (levels + 1))
    for resolution in range(levels + 1):
        low, high = _norms(levels - resolution + (resolution > 0))
        norms = (high * low, low * high, high * high) if resolution else (low * low,)
        for kind, norm in enumerate(norms):
            texture = resolution == levels and kind < 2
            noise = _NOISE_OF_TEXTURE if texture else _NOISE
            passes = math.floor(_PASSES * math.log2(math.sqrt(noise) * step / norm))
            dropped[sub_band(resolution, kind)] = max(0, passes)
    return tuple(dropped)


def largest_error(dropped: Sequence[int]) -> int:
    """Largest difference from the exact sample, DN, if these passes are dropped.

    A coefficient differs by less than 2 ** k if passes of k bit-planes are dropped, a plane that
    keeps some of them included.  No sample is made of more than 1 x the largest difference of each
    sub-band, since the weights of the 5/3 wavelet sum to at most 1.
    """
    if not any(dropped):
        return 0
    levels = len(dropped) // 3 - 1
    planes = (-(-passes // _PASSES) for passes in dropped)
    return math.ceil(sum((1 << count) - 1 for count in planes) + _ROUNDING * levels)


def _norms(level: int) -> tuple[float, float]:
    """Euclidean norms of the low and the high synthesis function after ``level`` decompositions."""
    if level == 0:
        return 1.0, 0.0
    low, high = _LOW, _HIGH
    for _ in range(level - 1):
        low, high = _finer(low), _finer(high)
    return float(np.linalg.norm(low)), float(np.linalg.norm(high))


def _finer(function: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = np.zeros(2 * len(function) - 1)
    spread[::2] = function
    return np.convolve(spread, _LOW)
