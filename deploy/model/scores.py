"""Counts of a mask against a reference that add up over tiles; the figures are flightsw's own."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from flightsw.comparison.figures import Comparison


@dataclass(frozen=True)
class Confusion(Comparison):
    """A is the reference, B the mask under test."""

    def __add__(self, other: Confusion) -> Confusion:
        return _confusion(
            self.both_clear + other.both_clear,
            self.both_contaminated + other.both_contaminated,
            self.only_a + other.only_a,
            self.only_b + other.only_b,
        )

    @property
    def agreement(self) -> float:
        """Share of pixels that are the same; NaN without pixels."""
        return super().agreement if self.pixels else nan

    @property
    def balanced_accuracy(self) -> float:
        """Balanced overall accuracy, (TPR + TNR) / 2; NaN if one of the classes has no pixels."""
        clear = self.both_clear + self.only_b
        if self.recall is None or not clear:
            return nan
        return (self.recall + self.both_clear / clear) / 2


def confusion(
    found: NDArray[np.bool_], true: NDArray[np.bool_], valid: NDArray[np.bool_]
) -> Confusion:
    """Count the valid pixels of two masks of one shape."""
    pairs = ((~found & ~true), (found & true), (~found & true), (found & ~true))
    return _confusion(*(int((pair & valid).sum()) for pair in pairs))


def _confusion(both_clear: int, both_contaminated: int, only_a: int, only_b: int) -> Confusion:
    return Confusion(both_clear, both_contaminated, only_a, only_b, 0, 0, None)
