"""UTC: whatever the computer's clock shows, it is a time that the interface can say."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsw.host.clock import LATEST_NS, utc_ns


def test_a_plausible_clock_is_passed_on() -> None:
    before = time.time_ns()
    assert before <= utc_ns() <= time.time_ns()


@given(st.integers(-(2**70), 2**70))
def test_any_clock_gives_a_time_of_the_interface(shown: int) -> None:
    with pytest.MonkeyPatch.context() as clock:
        clock.setattr(time, "time_ns", lambda: shown)
        assert 0 <= utc_ns() <= LATEST_NS
        assert utc_ns() == shown or not 0 <= shown <= LATEST_NS
