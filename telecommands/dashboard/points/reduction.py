"""Reduces samples without hiding a peak, and keeps the extremes of a time span."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple


class Sample(NamedTuple):
    """A value at UTC nanoseconds.  ``seq`` and ``boot`` are None in roll-ups."""

    t: int
    value: Any
    seq: int | None = None
    boot: int | None = None


class Gap(NamedTuple):
    """``missing`` packets between two received packets (UTC nanoseconds)."""

    after: int
    before: int
    missing: int

    @property
    def t(self) -> int:
        """Time at which a plot breaks its line."""
        return (self.after + self.before) // 2


class Extremes:
    """Lowest and highest value of a span, and their times.  Numbers only."""

    __slots__ = ("count", "high", "high_t", "low", "low_t")

    def __init__(self, t: int, value: float) -> None:
        self.count = 1
        self.low = self.high = value
        self.low_t = self.high_t = t

    def add(self, t: int, value: float) -> None:
        """Add a value."""
        self.count += 1
        if value < self.low:
            self.low, self.low_t = value, t
        if value > self.high:
            self.high, self.high_t = value, t


def is_number(value: Any) -> bool:
    """Whether the value can be plotted and compared."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def minmax(samples: Iterable[Sample], start: int, end: int, size: int) -> list[Sample]:
    """At most ``size`` samples, ascending: lowest and highest of each of ``size // 2`` spans.

    ``start`` and ``end`` are UTC nanoseconds; samples outside count for the first or last span.
    Values that are not numbers are omitted.
    """
    if size < 2:
        return []
    spans = size // 2
    width = max(1, -(-(end - start + 1) // spans))
    kept: dict[int, list[Sample]] = {}
    for sample in samples:
        if not is_number(sample.value):
            continue
        span = min(spans - 1, max(0, (sample.t - start) // width))
        pair = kept.get(span)
        if pair is None:
            kept[span] = [sample, sample]
        elif sample.value < pair[0].value:
            pair[0] = sample
        elif sample.value > pair[1].value:
            pair[1] = sample
    found: list[Sample] = []
    for _, (low, high) in sorted(kept.items()):
        found += [low] if low is high else sorted((low, high), key=_time)
    return found


def merged(gaps: Iterable[Gap], start: int, end: int, most: int) -> list[Gap]:
    """Gaps, merged within each of ``most`` spans: no gap is lost, only its exact time."""
    width = max(1, -(-(end - start + 1) // max(1, most)))
    kept: dict[int, Gap] = {}
    for gap in gaps:
        span = (gap.t - start) // width
        known = kept.get(span)
        kept[span] = (
            gap if known is None else Gap(known.after, gap.before, known.missing + gap.missing)
        )
    return list(kept.values())


def _time(sample: Sample) -> int:
    return sample.t
