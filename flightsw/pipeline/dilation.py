"""A buffer around contaminated pixels, while the rows stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from flightsw.products.contents import CLEAR, CONTAMINATED, FinishedRows


class RowDilation:
    """Clear pixels become contaminated within ``radius`` pixels of a contaminated one.

    The distance is that of the pixels' centres.
    The result is that of the whole mask, however the rows arrive: rows wait until those within
    the radius below them have come.  No data stays no data; classes and probabilities
    are not changed.
    """

    def __init__(self, height: int, radius: float) -> None:
        self._height = height
        self._radius = radius
        self._reach = int(radius)
        self._masks: deque[tuple[int, NDArray[np.uint8]]] = deque()  # not dilated, with their tops
        self._waiting: deque[FinishedRows] = deque()

    def add(self, rows: FinishedRows) -> Iterator[FinishedRows]:
        """Take the next rows; yield those that no later row can change."""
        self._masks.append((rows.top, rows.mask))
        self._waiting.append(_kept(rows))
        come = _bottom(rows.top, rows.mask)
        while self._waiting and self._needed(self._waiting[0]).stop <= come:
            due = self._waiting.popleft()
            while _bottom(*self._masks[0]) <= self._needed(due).start:
                self._masks.popleft()
            yield self._dilated(due)

    def _needed(self, rows: FinishedRows) -> range:
        bottom = _bottom(rows.top, rows.mask)
        return range(max(0, rows.top - self._reach), min(bottom + self._reach, self._height))

    def _dilated(self, rows: FinishedRows) -> FinishedRows:
        needed = self._needed(rows)
        window = np.concatenate(
            [
                mask[max(0, needed.start - top) : max(0, needed.stop - top)]
                for top, mask in self._masks
            ]
        )
        elsewhere = (window != CONTAMINATED).view(np.uint8)
        if elsewhere.all():
            return rows
        distance = cv2.distanceTransform(elsewhere, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        near = distance[rows.top - needed.start :][: len(rows.mask)] <= self._radius
        mask = rows.mask.copy()
        mask[near & (mask == CLEAR)] = CONTAMINATED
        return replace(rows, mask=mask)


def _kept(rows: FinishedRows) -> FinishedRows:
    """The rows with their digital numbers copied, which would keep a whole strip in memory."""
    numbers = rows.digital_numbers
    return rows if numbers is None else replace(rows, digital_numbers=numbers.copy())


def _bottom(top: int, mask: NDArray[np.uint8]) -> int:
    return top + len(mask)
