"""The length of a chunk follows what the link carries."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from flightsw.downlink.link_rate import LinkRate

_MOST = 1 << 20


def _lengths(bytes_per_second: float, round_trip_s: float, requests: int) -> list[int]:
    """Lengths of the chunks of a product that a receiver requests two by two."""
    rate, now, offset, lengths = LinkRate(), 100.0, 0, []
    for _ in range(requests):
        rate.confirmed("p", offset, now)
        lengths.append(rate.chunk_bytes(_MOST))
        offset += 2 * lengths[-1]
        now += round_trip_s + 2 * lengths[-1] / bytes_per_second
    return lengths


def test_the_first_chunk_suits_9600_bit_per_second() -> None:
    assert LinkRate().chunk_bytes(_MOST) <= 1200


def test_a_fast_link_gets_the_longest_chunks_after_ten_requests() -> None:
    lengths = _lengths(100e6, 0.02, 12)
    assert lengths[10:] == [_MOST, _MOST]
    assert all(later <= 2 * former for former, later in pairwise(lengths))


@given(bytes_per_second=st.floats(300, 1e6), round_trip_s=st.floats(0, 0.5))
def test_a_chunk_takes_a_second_or_less_once_the_rate_is_known(
    bytes_per_second: float, round_trip_s: float
) -> None:
    for length in _lengths(bytes_per_second, round_trip_s, 30)[12:]:
        assert 0.2 * bytes_per_second - 1 <= min(length, 0.9 * _MOST) <= bytes_per_second + 1


def test_the_chunk_of_a_product_is_never_longer_than_the_parameter() -> None:
    rate = LinkRate()
    for request in range(20):
        rate.confirmed("p", request * 10**6, float(request))
        assert rate.chunk_bytes(4096) <= 4096


def test_a_request_that_confirms_nothing_more_halves_the_chunk() -> None:
    rate = LinkRate()
    rate.confirmed("p", 0, 0.0)
    before = rate.chunk_bytes(_MOST)
    rate.confirmed("p", 0, 2.0)
    assert rate.chunk_bytes(_MOST) == before // 2


def test_the_end_of_a_small_product_within_a_round_trip_does_not_slow_the_next() -> None:
    rate = LinkRate()
    for request in range(8):
        rate.confirmed("p", request * 10**6, float(request))
    before = rate.chunk_bytes(_MOST)
    rate.confirmed("small", 0, 10.0)
    rate.confirmed("small", 40, 10.1)
    assert rate.chunk_bytes(_MOST) == before


@given(data=st.data())
def test_whatever_is_requested_a_chunk_has_a_sensible_length(data: st.DataObject) -> None:
    rate, now = LinkRate(), 0.0
    for _ in range(20):
        now += data.draw(st.floats(0, 1e6))
        rate.confirmed(data.draw(st.sampled_from("ab")), data.draw(st.integers(0, 2**60)), now)
        assert 128 <= rate.chunk_bytes(_MOST) <= _MOST
