from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telecommands.gateway.times import read_time_code, time_code


@given(st.integers(min_value=0, max_value=(2**32 - 40) * 10**9))
def test_a_time_comes_back_to_a_fraction_of_a_microsecond(utc_ns: int) -> None:
    assert 0 <= utc_ns - read_time_code(time_code(utc_ns)) + 60 <= 120


def test_the_code_counts_leap_seconds_since_1970() -> None:
    moment = datetime(2026, 11, 29, 12, 0, 0, 500_000, tzinfo=timezone.utc)
    code = time_code(int(moment.timestamp() * 1e9))
    assert code[0] == 0x2F
    assert int.from_bytes(code[1:5], "big") == int(moment.timestamp()) + 37
    assert int.from_bytes(code[5:], "big") == 1 << 23


@pytest.mark.parametrize("code", [b"", b"\x2f" * 7, b"\x1e" + bytes(7), b"\x2f" + bytes(7)])
def test_other_codes_are_refused(code: bytes) -> None:
    with pytest.raises(ValueError, match=r"is not a time code|before 1970"):
        read_time_code(code)


def test_times_outside_the_code_become_the_nearest() -> None:
    assert time_code(-1) == time_code(0)
    assert time_code(2**62)[1:5] == b"\xff" * 4
