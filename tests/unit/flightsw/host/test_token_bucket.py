from __future__ import annotations

from flightsw.host.token_bucket import TokenBucket


def test_a_burst_passes_then_the_rate_and_never_more_than_a_burst_again() -> None:
    bucket = TokenBucket(3, 0.0)
    assert [bucket.take(2.0, 3, 0.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(2.0, 3, 0.5) for _ in range(2)] == [True, False]
    assert [bucket.take(2.0, 3, 1000.0) for _ in range(4)] == [True, True, True, False]


def test_a_lower_rate_takes_effect_with_the_next_token() -> None:
    bucket = TokenBucket(10, 0.0)
    assert [bucket.take(1.0, 2, 0.0) for _ in range(3)] == [True, True, False]
