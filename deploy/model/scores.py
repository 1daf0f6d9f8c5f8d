"""Figures of a mask against a reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Confusion:
    """Pixels by (found, true): hits, false alarms, misses, and rightly left alone.

    The figures are NaN where their denominator has no pixels.
    """

    hits: int
    false_alarms: int
    misses: int
    rest: int

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(
            self.hits + other.hits,
            self.false_alarms + other.false_alarms,
            self.misses + other.misses,
            self.rest + other.rest,
        )

    @property
    def f2(self) -> float:
        """5PR / (4P + R): a missed cloud weighs more than a false one."""
        return _ratio(5 * self.hits, 5 * self.hits + 4 * self.misses + self.false_alarms)

    @property
    def iou(self) -> float:
        """Intersection over union."""
        return _ratio(self.hits, self.hits + self.false_alarms + self.misses)

    @property
    def boa(self) -> float:
        """Balanced overall accuracy, (TPR + TNR) / 2."""
        recall = _ratio(self.hits, self.hits + self.misses)
        return (recall + _ratio(self.rest, self.rest + self.false_alarms)) / 2

    @property
    def agreement(self) -> float:
        """Share of pixels that are the same."""
        total = self.hits + self.false_alarms + self.misses + self.rest
        return _ratio(self.hits + self.rest, total)


def confusion(
    found: NDArray[np.bool_], true: NDArray[np.bool_], valid: NDArray[np.bool_]
) -> Confusion:
    """Count the valid pixels of two masks of one shape."""
    return Confusion(
        hits=int((found & true & valid).sum()),
        false_alarms=int((found & ~true & valid).sum()),
        misses=int((~found & true & valid).sum()),
        rest=int((~found & ~true & valid).sum()),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
