from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telecommands.times import read_moment, read_span, read_time

NOW = 1_700_000_000_000_000_000


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001 - UTC without saying
def test_a_time_without_a_zone_is_utc_to_the_microsecond(moment: datetime) -> None:
    t = read_time(moment.isoformat(), NOW)
    assert t == read_time(moment.isoformat() + "Z", NOW)
    whole = int(moment.replace(microsecond=0, tzinfo=timezone.utc).timestamp())
    assert t == whole * 10**9 + moment.microsecond * 1000


def test_spans_of_time_have_units() -> None:
    assert [read_span(f"+{text}") for text in ("250ms", "10", "1.5s", "2min", "1h", "1d")] == [
        0.25, 10, 1.5, 120, 3600, 86_400,
    ]  # fmt: skip
    for text in ("10s", "+10 fortnights", "+-1s", "+"):
        with pytest.raises(ValueError, match="not a duration"):
            read_span(text)


def test_digits_are_nanoseconds() -> None:
    assert read_time("1990785600000000001", NOW) == 1_990_785_600_000_000_001


def test_a_moment_is_a_span_from_now_or_a_date() -> None:
    assert read_moment("+0.000000001d", NOW) == NOW + 86_400
    assert read_moment("2033-01-31T13:00:00.000001+01:00", NOW) == 1_990_785_600 * 10**9 + 1000
    for text in ("1990785600000000001", "+9999999d", f"+{'9' * 400}d", "\u00b2", "soon"):
        with pytest.raises(ValueError, match="is not a "):
            read_moment(text, NOW)
