"""Contact windows: bytes and seconds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flightsw.downlink.contact import ContactWindow
from telecommands.dictionary import ContactState, OpenContact


def test_no_window_is_open_at_first() -> None:
    contact = ContactWindow()
    assert contact.state(0.0) == ContactState()
    assert contact.take(1, 0.0) is None


def test_a_window_tells_what_is_left_of_it() -> None:
    contact = ContactWindow()
    contact.open(OpenContact(bytes=100, seconds=10), 50.0)
    assert contact.take(30, 52.0) == 30
    assert contact.state(52.0) == ContactState(open=True, bytes_left=70, seconds_left=8.0)
    assert contact.spent_bytes == 30


def test_a_window_closes_when_its_time_is_over() -> None:
    contact = ContactWindow()
    contact.open(OpenContact(bytes=100, seconds=10), 50.0)
    assert contact.state(60.0) == ContactState()
    assert contact.take(1, 60.0) is None


def test_what_does_not_fit_gets_what_is_left_and_then_the_window_is_closed() -> None:
    contact = ContactWindow()
    contact.open(OpenContact(bytes=100, seconds=10), 0.0)
    assert contact.take(101, 1.0) == 100
    assert contact.state(1.0) == ContactState()
    assert contact.take(1, 1.0) is None
    assert contact.spent_bytes == 100


def test_a_window_closes_on_demand_and_a_new_one_starts_afresh() -> None:
    contact = ContactWindow()
    contact.open(OpenContact(bytes=100, seconds=10), 0.0)
    contact.take(60, 0.0)
    contact.close()
    assert contact.state(0.0) == ContactState()
    contact.open(OpenContact(bytes=40, seconds=1), 5.0)
    assert contact.state(5.0) == ContactState(open=True, bytes_left=40, seconds_left=1.0)
    assert contact.spent_bytes == 0


@given(budget=st.integers(1, 1000), chunks=st.lists(st.integers(0, 300), max_size=30))
def test_never_more_goes_down_than_the_budget(budget: int, chunks: list[int]) -> None:
    contact = ContactWindow()
    contact.open(OpenContact(bytes=budget, seconds=10), 0.0)
    sent = sum(contact.take(size, 1.0) or 0 for size in chunks)
    assert sent == contact.spent_bytes == min(budget, sum(chunks))
