"""The agreement of two masks of one scene, in figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flightsw.comparison.edge_distance import EdgeDistances, MaskRows, edge_distances
from flightsw.errors import ProductError, UsageError
from flightsw.products.contents import NO_DATA

_ROWS: Final = 512


class Finding(IntEnum):
    """What two masks say about a pixel: twice A's bit plus B's bit."""

    BOTH_CLEAR = 0
    ONLY_B = 1
    ONLY_A = 2
    BOTH_CONTAMINATED = 3
    NO_DATA = 255


OF_VALID: Final = (Finding.BOTH_CLEAR, Finding.ONLY_B, Finding.ONLY_A, Finding.BOTH_CONTAMINATED)
"""The findings of pixels that are valid in both masks."""


def findings(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A :class:`Finding` for each pixel; no data if either mask has no data."""
    found: NDArray[np.uint8] = np.bitwise_or(a << np.uint8(1), b)
    found[(a == NO_DATA) | (b == NO_DATA)] = Finding.NO_DATA
    return found


@dataclass(frozen=True)
class Comparison:
    """Pixel counts by finding, and the figures that follow from them.

    Counts are of the pixels valid in both masks, except ``valid_only_in_a`` and
    ``valid_only_in_b``.  Shares are 0 to 1, or None if the denominator is 0.  A is
    the reference, contaminated the positive class.
    """

    both_clear: int
    both_contaminated: int
    only_a: int
    only_b: int
    valid_only_in_a: int
    valid_only_in_b: int
    distances: EdgeDistances | None
    """None if no pixel disagrees, or A has no cloud edge."""

    @property
    def pixels(self) -> int:
        """Pixels that are valid in both masks."""
        return self.both_clear + self.both_contaminated + self.disagreeing

    @property
    def disagreeing(self) -> int:
        """Pixels that are contaminated in one mask only."""
        return self.only_a + self.only_b

    @property
    def agreement(self) -> float:
        """Share of the pixels on which both agree."""
        return (self.both_clear + self.both_contaminated) / self.pixels

    @property
    def precision(self) -> float | None:
        """Share of B's contaminated pixels that are contaminated in A."""
        return _ratio(self.both_contaminated, self.both_contaminated + self.only_b)

    @property
    def recall(self) -> float | None:
        """Share of A's contaminated pixels that are contaminated in B."""
        return _ratio(self.both_contaminated, self.both_contaminated + self.only_a)

    @property
    def f2(self) -> float | None:
        """5PR / (4P + R), which is 5TP / (5TP + 4FN + FP)."""
        weighted = 5 * self.both_contaminated
        return _ratio(weighted, weighted + 4 * self.only_a + self.only_b)

    @property
    def intersection_over_union(self) -> float | None:
        """Of the contaminated pixels."""
        return _ratio(self.both_contaminated, self.both_contaminated + self.disagreeing)

    def as_record(self) -> dict[str, Any]:
        """Every figure, JSON-able."""
        return {
            "agreement": self.agreement,
            "precision": self.precision,
            "recall": self.recall,
            "f2": self.f2,
            "iou": self.intersection_over_union,
            "pixels": self.pixels,
            "disagreeing": self.disagreeing,
            **asdict(self),
        }


def check_comparable(a: MaskRows, b: MaskRows) -> None:
    """Raise :class:`UsageError` unless both masks have the same size."""
    if a.shape != b.shape:
        raise UsageError(
            "the masks",
            f"differ in size: A has {_size(a)} pixels, B {_size(b)}",
            "Compare masks of one scene at one ground sample distance",
            a=list(a.shape),
            b=list(b.shape),
        )


def compare(a: MaskRows, b: MaskRows) -> Comparison:
    """Compare two masks, uint8 ``(height, width)``: 0 clear, 1 contaminated, 255 no data.

    Raises :class:`UsageError` if their sizes differ and :class:`ProductError` if
    no pixel is valid in both.
    """
    check_comparable(a, b)
    totals = np.zeros(6, np.int64)
    for top in range(0, a.shape[0], _ROWS):
        totals += _counts(a[top : top + _ROWS], b[top : top + _ROWS])
    both_clear, only_b, only_a, both_contaminated, valid_only_in_a, valid_only_in_b = (
        int(total) for total in totals
    )
    if not both_clear + both_contaminated + only_a + only_b:
        raise ProductError(
            "the masks", "have no pixel that is valid in both", "Compare masks of one scene"
        )
    return Comparison(
        both_clear=both_clear,
        both_contaminated=both_contaminated,
        only_a=only_a,
        only_b=only_b,
        valid_only_in_a=valid_only_in_a,
        valid_only_in_b=valid_only_in_b,
        distances=edge_distances(a, b) if only_a + only_b else None,
    )


def _counts(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> list[int]:
    found = findings(a, b)
    valid_in_a, valid_in_b = a != NO_DATA, b != NO_DATA
    return [
        int(np.count_nonzero(pixels))
        for pixels in (
            *(found == finding for finding in OF_VALID),
            valid_in_a & ~valid_in_b,
            valid_in_b & ~valid_in_a,
        )
    ]


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _size(mask: MaskRows) -> str:
    height, width = mask.shape
    return f"{height:,} x {width:,}"
