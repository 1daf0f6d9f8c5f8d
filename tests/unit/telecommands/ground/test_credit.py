from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from telecommands.ground.credit import MOST_CREDIT, Credit

_WINDOW = 32 << 20


@given(bytes_per_second=st.floats(300, 1e9), chunk_bytes=st.integers(128, 8 << 20))
def test_the_chunks_in_transit_take_some_seconds_and_never_exceed_the_window(
    bytes_per_second: float, chunk_bytes: int
) -> None:
    credit = Credit(_WINDOW)
    for _ in range(12):
        credit.arrived(chunk_bytes, credit.chunks * chunk_bytes / bytes_per_second)
    in_transit = credit.chunks * chunk_bytes
    assert 1 <= credit.chunks <= MOST_CREDIT
    assert in_transit <= max(chunk_bytes, min(_WINDOW, 4.001 * bytes_per_second))


def test_the_credit_at_most_doubles_and_is_halved_by_a_stall() -> None:
    credit = Credit(_WINDOW)
    seen = [credit.chunks]
    for _ in range(3):
        credit.arrived(1000, 0.001)
        seen.append(credit.chunks)
    assert seen == [2, 4, 8, 16]
    credit.stalled()
    assert credit.chunks == 8
