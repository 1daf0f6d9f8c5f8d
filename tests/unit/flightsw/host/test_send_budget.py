"""Bytes that wait for clients, with trackers that are done when a test says so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flightsw.host.send_budget import COUNTED_BYTES, SendBudget

_MOST = 64 * COUNTED_BYTES


def _tracker(*, done: bool = False) -> Any:
    return SimpleNamespace(done=done)


@given(
    sends=st.lists(
        st.tuples(st.sampled_from("abcd"), st.integers(COUNTED_BYTES, 4 * COUNTED_BYTES)),
        max_size=200,
    )
)
def test_what_waits_is_bounded_for_all_senders_together(sends: list[tuple[str, int]]) -> None:
    budget = SendBudget(_MOST)
    for client, size in sends:
        if budget.has_room(client, size):
            budget.sent(client, _tracker(), size)
    assert budget.waiting <= _MOST + 4 * COUNTED_BYTES


def test_a_client_alone_takes_half_and_leaves_room_for_the_next() -> None:
    budget = SendBudget(_MOST)
    while budget.has_room("greedy", COUNTED_BYTES):
        budget.sent("greedy", _tracker(), COUNTED_BYTES)
    assert budget.waiting == _MOST // 2
    assert budget.has_room("operator", _MOST // 4)


def test_room_comes_back_when_bytes_are_gone() -> None:
    budget = SendBudget(_MOST)
    tracker = _tracker()
    budget.sent("a", tracker, _MOST)
    assert not budget.has_room("a", COUNTED_BYTES)
    tracker.done = True
    assert budget.waiting == 0
    assert budget.has_room("a", COUNTED_BYTES)


def test_a_short_message_always_goes() -> None:
    budget = SendBudget(_MOST)
    budget.sent("a", _tracker(), 2 * _MOST)
    assert budget.has_room("a", COUNTED_BYTES - 1)
