from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telecommands.dashboard.alarms import (
    Alarm,
    AlarmBook,
    OperatorAction,
    Shelving,
    acknowledged,
    shelved,
)
from telecommands.dashboard.points.catalogue import PointCatalogue
from telecommands.dictionary import EVENTS, Event, Severity
from telecommands.ground.errors import UsageError

_FOUND = PointCatalogue().get("hk.card_temperature_c")  # warning from 80, critical from 85
assert _FOUND is not None
POINT = _FOUND
SEEN = acknowledged(OperatorAction(by="me", at=5))


def _raised(*values: float | None) -> AlarmBook:
    book = AlarmBook()
    for t, value in enumerate(values):
        book.take_value(POINT, value, t)
    return book


def _only(book: AlarmBook) -> Alarm:
    [alarm] = book.open()
    return alarm


def _event(name: str, severity: Severity, **fields: Any) -> Event:
    return Event(event=name, severity=severity, message="because", **fields)


def test_a_value_beyond_its_limits_raises_an_alarm_with_its_side() -> None:
    alarm = _only(_raised(41.0, 82.0))
    assert (alarm.id, alarm.severity, alarm.side) == (POINT.key, "WARNING", "HIGH")
    assert (alarm.value, alarm.raised_at, alarm.count) == (82.0, 1, 1)
    disk = PointCatalogue().get("hk.disk_free_bytes")
    assert disk is not None
    low = AlarmBook().take_value(disk, 5 * 10**8, 0)
    assert low is not None
    assert (low.severity, low.side) == ("CRITICAL", "LOW")


def test_values_within_limits_and_missing_values_raise_none() -> None:
    assert _raised(41.0, None, 79.9).open() == ()


def test_an_alarm_stays_until_it_is_acknowledged_and_the_value_is_back() -> None:
    book = _raised(82.0, 41.0)
    assert (_only(book).beyond, _only(book).now) == (None, 41.0)
    book.change(POINT.key, SEEN)
    assert book.open() == ()
    book = _raised(82.0)
    book.change(POINT.key, SEEN)
    assert _only(book).acknowledged == OperatorAction(by="me", at=5)
    book.take_value(POINT, 41.0, 9)
    assert book.open() == ()


@pytest.mark.parametrize("later", [[86.0], [41.0, 82.0]])
def test_raised_again_or_higher_it_must_be_acknowledged_again(later: list[float]) -> None:
    book = _raised(82.0)
    book.change(POINT.key, SEEN)
    for t, value in enumerate(later, 10):
        book.take_value(POINT, value, t)
    alarm = _only(book)
    assert (alarm.acknowledged, alarm.count, alarm.value) == (None, 2, later[-1])


def test_the_same_value_again_changes_nothing() -> None:
    book = _raised(82.0)
    assert book.take_value(POINT, 82.0, 1) is None
    assert book.take_value(POINT, 83.0, 2) is not None
    assert _only(book).raised_at == 0


def test_a_shelf_outlasts_a_new_occurrence() -> None:
    shelving = Shelving(by="me", at=1, until=None)
    book = _raised(82.0)
    book.change(POINT.key, shelved(shelving))
    for value in (41.0, 86.0):
        book.take_value(POINT, value, 9)
    assert _only(book).shelved == shelving
    book.change(POINT.key, shelved(None))
    assert _only(book).shelved is None


@pytest.mark.parametrize(
    ("severity", "expected"),
    [
        (Severity.DIAGNOSTIC, None),
        (Severity.ACTIVITY, None),
        (Severity.WARNING_LOW, "WATCH"),
        (Severity.WARNING_HIGH, "WARNING"),
        (Severity.CRITICAL, "CRITICAL"),
    ],
)
def test_events_raise_alarms_from_warnings_on(severity: Severity, expected: str | None) -> None:
    alarm = AlarmBook().take_event(_event("JOB_FAILED", severity), 3)
    assert (alarm and alarm.severity) == expected


def test_an_event_counts_its_occurrences_and_ends_when_it_is_acknowledged() -> None:
    book = AlarmBook()
    book.take_event(_event("JOB_FAILED", Severity.WARNING_HIGH), 1)
    book.take_event(_event("JOB_FAILED", Severity.WARNING_HIGH, squelched=3), 2)
    assert (_only(book).count, _only(book).value) == (5, "because")
    book.change("evt.JOB_FAILED", SEEN)
    assert book.open() == ()
    with pytest.raises(UsageError, match="not an alarm on the list"):
        book.change("evt.JOB_FAILED", SEEN)


@settings(max_examples=25)
@given(st.lists(st.text(max_size=8) | st.sampled_from(sorted(EVENTS)), max_size=10))
def test_unknown_events_share_one_alarm(names: list[str]) -> None:
    book = AlarmBook()
    for t, name in enumerate(names):
        book.take_event(_event(name, Severity.CRITICAL), t)
    assert sum(one.count for one in book.open()) == len(names)
    assert len(book.open()) <= len(EVENTS) + 1


@settings(max_examples=50)
@given(st.lists(st.none() | st.floats(0, 120), min_size=1, max_size=10))
def test_the_list_shows_the_worst_that_nobody_has_acknowledged(values: list[float | None]) -> None:
    book = _raised(*values)
    worst = max((value for value in values if value is not None), default=0.0)
    expected = "CRITICAL" if worst >= 85 else "WARNING" if worst >= 80 else None
    last = next((one for one in reversed(values) if one is not None), 0.0)
    found = book.open()
    assert bool(found) is (expected is not None)
    if found:
        assert found[0].now == last or found[0].beyond is None
        assert (found[0].beyond is not None) is (last >= 80)
