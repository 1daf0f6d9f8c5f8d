"""Contact windows: bytes and seconds, which outlive a restart."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flightsw.downlink.contact import ContactWindow
from flightsw.state import StateFile
from telecommands.dictionary import ContactState, OpenContact

_UTC = 1_800_000_000 * 10**9
_BOOT = "this-run-of-the-computer"


@pytest.fixture
def contact(state: StateFile) -> ContactWindow:
    return ContactWindow(state, _BOOT)


def _open(contact: ContactWindow, budget: int, seconds: float, at: float) -> None:
    contact.open(OpenContact(bytes=budget, seconds=seconds), at, _UTC)


def test_no_window_is_open_at_first(contact: ContactWindow) -> None:
    assert contact.state(0.0) == ContactState()
    assert contact.take(1, 0.0) is None
    assert contact.restore(0.0, _UTC) is None


def test_a_window_reports_what_is_left_of_it(contact: ContactWindow) -> None:
    _open(contact, 100, 10, 50.0)
    assert contact.take(30, 52.0) == 30
    assert contact.state(52.0) == ContactState(open=True, bytes_left=70, seconds_left=8.0)
    assert contact.spent_bytes == 30


def test_a_window_closes_when_its_time_is_over(contact: ContactWindow) -> None:
    _open(contact, 100, 10, 50.0)
    assert contact.state(60.0) == ContactState()
    assert contact.take(1, 60.0) is None


def test_what_does_not_fit_gets_what_is_left_and_then_the_window_is_closed(
    contact: ContactWindow,
) -> None:
    _open(contact, 100, 10, 0.0)
    assert contact.take(101, 1.0) == 100
    assert contact.state(1.0) == ContactState()
    assert contact.take(1, 1.0) is None
    assert contact.spent_bytes == 100


def test_a_window_closes_on_demand_and_a_new_one_starts_afresh(contact: ContactWindow) -> None:
    _open(contact, 100, 10, 0.0)
    contact.take(60, 0.0)
    contact.close()
    assert contact.state(0.0) == ContactState()
    _open(contact, 40, 1, 5.0)
    assert contact.state(5.0) == ContactState(open=True, bytes_left=40, seconds_left=1.0)
    assert contact.spent_bytes == 0


def test_a_window_whose_telecommand_is_rolled_back_never_opens(
    state: StateFile, contact: ContactWindow
) -> None:
    _open(contact, 100, 10, 50.0)
    contact.take(30, 52.0)
    with contextlib.suppress(RuntimeError), state.transaction():
        _open(contact, 1000, 1000, 53.0)
        raise RuntimeError
    assert contact.state(53.0) == ContactState(open=True, bytes_left=70, seconds_left=7.0)
    assert contact.spent_bytes == 30
    contact.keep(53.0)
    restored = ContactWindow(state, _BOOT).restore(53.0, _UTC)
    assert restored == ContactState(open=True, bytes_left=70, seconds_left=7.0)


def test_what_was_written_down_continues_after_a_crash(
    state: StateFile, contact: ContactWindow
) -> None:
    _open(contact, 1000, 60, 50.0)
    contact.take(300, 52.0)
    contact.keep(53.0)
    after = ContactWindow(state, _BOOT)
    assert after.restore(70.0, 0) == ContactState(open=True, bytes_left=700, seconds_left=40.0)
    assert after.spent_bytes == 300


def test_after_a_power_cut_the_clock_says_how_much_time_is_left(
    state: StateFile, contact: ContactWindow
) -> None:
    _open(contact, 1000, 60, 5000.0)
    after = ContactWindow(state, "next-run-of-the-computer")
    restored = after.restore(12.0, _UTC + 20 * 10**9)
    assert restored == ContactState(open=True, bytes_left=1000, seconds_left=40.0)


@pytest.mark.parametrize("seconds_later", [60.0, 5400.0, -1.0, -1.8e9])
def test_a_window_that_ended_or_whose_age_is_unknown_stays_closed(
    state: StateFile, contact: ContactWindow, seconds_later: float
) -> None:
    _open(contact, 1000, 60, 5000.0)
    after = ContactWindow(state, "next-run-of-the-computer")
    assert after.restore(12.0, _UTC + int(seconds_later * 10**9)) == ContactState()
    assert after.take(1, 12.0) is None
    after.keep(12.0)
    assert ContactWindow(state, _BOOT).restore(13.0, _UTC) is None


def test_a_window_that_was_closed_or_used_up_is_not_open_after_a_crash(
    state: StateFile, contact: ContactWindow
) -> None:
    _open(contact, 1000, 60, 50.0)
    contact.close()
    assert ContactWindow(state, _BOOT).restore(51.0, _UTC) is None
    _open(contact, 1000, 60, 50.0)
    contact.take(1000, 51.0)
    assert ContactWindow(state, _BOOT).restore(52.0, _UTC) == ContactState()


def test_a_window_that_cannot_be_read_stays_closed(state: StateFile) -> None:
    state.set_fact("contact", b"\xc1 not a window")
    assert ContactWindow(state, _BOOT).restore(0.0, _UTC) == ContactState()


@given(
    budget=st.integers(1, 10_000),
    runs=st.lists(st.lists(st.integers(0, 300), max_size=8), max_size=4),
    kept=st.booleans(),
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_never_more_goes_down_than_the_budget_whenever_the_service_crashes(
    budget: int, runs: list[list[int]], kept: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        state = StateFile(Path(folder) / "state-0")
        contact = ContactWindow(state, _BOOT)
        _open(contact, budget, 10, 0.0)
        sent = 0
        for number, chunks in enumerate(runs, 1):
            sent += sum(contact.take(size, 1.0) or 0 for size in chunks)
            if kept:
                contact.keep(1.0)
            shutil.copytree(state.path.parent, Path(folder) / f"state-{number}")
            state.close()
            state = StateFile(Path(folder) / f"state-{number}")
            contact = ContactWindow(state, _BOOT)
            contact.restore(1.0, _UTC)
            left = contact.state(1.0).bytes_left
            assert left <= budget - sent
            if kept:
                assert left == budget - sent
        state.close()
