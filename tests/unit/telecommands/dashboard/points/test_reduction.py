from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from telecommands.dashboard.points.reduction import Extremes, Gap, Sample, merged, minmax

_END = 10**6
_VALUES = st.floats(-1e6, 1e6)
_SAMPLES = st.dictionaries(st.integers(0, _END), _VALUES, max_size=300).map(
    lambda found: [Sample(t, value) for t, value in sorted(found.items())]
)


@given(_SAMPLES, st.integers(2, 100))
def test_minmax_keeps_the_peaks_in_order_and_within_the_size(
    samples: list[Sample], size: int
) -> None:
    found = minmax(samples, 0, _END, size)
    assert len(found) <= size
    assert [one.t for one in found] == sorted(one.t for one in found)
    assert set(found) <= set(samples)
    if samples:
        values = [one.value for one in samples]
        assert min(one.value for one in found) == min(values)
        assert max(one.value for one in found) == max(values)


def test_each_span_keeps_its_own_extremes() -> None:
    samples = [Sample(t, value) for t, value in enumerate([5, 1, 9, 5, 2, 2, 8, 0])]
    assert [one.value for one in minmax(samples, 0, 7, 4)] == [1, 9, 8, 0]


def test_what_is_not_a_number_is_left_out() -> None:
    samples = [Sample(0, None), Sample(1, math.nan), Sample(2, "text"), Sample(3, 1.0)]
    assert minmax(samples, 0, 3, 2) == [Sample(3, 1.0)]


@given(st.lists(st.integers(0, _END), max_size=200), st.integers(1, 50))
def test_no_missing_packet_is_forgotten_when_gaps_are_merged(times: list[int], most: int) -> None:
    gaps = [Gap(t, t + 2, 3) for t in sorted(times)]
    found = merged(gaps, 0, _END, most)
    assert sum(gap.missing for gap in found) == 3 * len(gaps)
    assert len(found) <= most + 1


@given(st.lists(_VALUES, min_size=1))
def test_extremes_are_those_of_all_values(values: list[float]) -> None:
    extremes = Extremes(0, values[0])
    for t, value in enumerate(values[1:], 1):
        extremes.add(t, value)
    assert (extremes.count, extremes.low, extremes.high) == (len(values), min(values), max(values))
    assert values[extremes.low_t] == extremes.low
    assert values[extremes.high_t] == extremes.high
