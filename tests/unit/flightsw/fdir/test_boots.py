from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightsw.fdir.boots import (
    CLEAN_SHUTDOWN,
    FIRST_BOOT,
    KILLED,
    LOOP_SECONDS,
    MOST_BOOTS,
    POWER_CUT,
    RESTART_COMMANDED,
    UNCLEAN,
    Boot,
    BootRecord,
)
from flightsw.state import StateFile

_START = 1_800_000_000 * 10**9
_MINUTE = 60 * 10**9


@pytest.fixture
def boots(tmp_path: Path) -> Iterator[BootRecord]:
    with StateFile(tmp_path) as state:
        yield BootRecord(state)


def test_the_first_boot_is_clean_and_has_number_one(boots: BootRecord) -> None:
    assert boots.begin(_START) == Boot(1, 0, True, FIRST_BOOT, loop=False)


def test_a_clean_end_is_reported_at_the_next_boot(boots: BootRecord) -> None:
    boots.begin(_START)
    boots.end_clean(_START + 1)
    assert boots.begin(_START + 2) == Boot(2, 0, True, CLEAN_SHUTDOWN, loop=False)


def test_the_reason_of_an_end_is_reported_once(boots: BootRecord) -> None:
    boots.begin(_START)
    boots.end_clean(_START + 1, RESTART_COMMANDED)
    assert boots.begin(_START + 2).reset_cause == RESTART_COMMANDED
    assert boots.begin(_START + 3).reset_cause == UNCLEAN


@pytest.mark.parametrize(
    ("before", "now", "cause"),
    [("a", "a", KILLED), ("a", "b", POWER_CUT), ("", "b", UNCLEAN), ("a", "", UNCLEAN)],
)
def test_a_kill_is_distinguished_from_a_power_cut_by_the_run_of_the_computer(
    boots: BootRecord, before: str, now: str, cause: str
) -> None:
    boots.begin(_START, before)
    boot = boots.begin(_START + 1, now)
    assert (boot.reset_cause, boot.last_was_clean, boot.unclean_count) == (cause, False, 1)


def test_boots_are_counted_over_restarts_of_the_software(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        with StateFile(tmp_path) as state:
            boot = BootRecord(state).begin(_START)
        assert (boot.number, boot.unclean_count) == (number, number - 1)


def test_the_third_unclean_boot_within_ten_minutes_is_a_loop(boots: BootRecord) -> None:
    loops = [boots.begin(_START + n * 3 * _MINUTE).loop for n in range(4)]
    assert loops == [False, False, False, True]  # the first of them followed no unclean end


def test_kills_with_the_same_job_at_work_count_once_until_systemd_would_give_up(
    boots: BootRecord,
) -> None:
    same_job = [False, False, *[True] * (MOST_BOOTS - 1)]
    loops = [boots.begin(_START + n, "one", same_job=same).loop for n, same in enumerate(same_job)]
    assert loops == [False] * MOST_BOOTS + [True]


def test_unclean_boots_further_apart_are_not_a_loop(boots: BootRecord) -> None:
    assert not any(boots.begin(_START + n * 6 * _MINUTE).loop for n in range(10))


def test_ten_minutes_to_the_nanosecond_are_within(boots: BootRecord) -> None:
    boots.begin(_START)
    boots.begin(_START)
    boots.begin(_START + 5)
    assert boots.begin(_START + LOOP_SECONDS * 10**9).loop
    assert not boots.begin(_START + LOOP_SECONDS * 10**9 * 2 + 1).loop


def test_a_clean_boot_is_never_a_loop_but_does_not_hide_one(boots: BootRecord) -> None:
    for _ in range(3):
        boots.begin(_START)
    boots.end_clean(_START)
    assert not boots.begin(_START).loop
    assert boots.begin(_START).loop


def test_a_clock_that_starts_again_at_each_boot_hides_no_loop(boots: BootRecord) -> None:
    boots.begin(_START)
    assert [boots.begin(n).loop for n in (7, 5, 3)] == [False, False, True]


def test_a_clock_that_jumped_forward_delays_a_loop_by_no_more_than_its_boot(
    boots: BootRecord,
) -> None:
    boots.begin(10)
    boots.begin(20)
    assert [boots.begin(_START + n).loop for n in range(4)] == [False, False, True, True]


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 2**62), st.booleans()), min_size=1, max_size=12))
def test_any_clock_keeps_numbers_and_counts_right(runs: list[tuple[int, bool]]) -> None:
    with TemporaryDirectory() as folder, StateFile(Path(folder)) as state:
        boots = BootRecord(state)
        unclean = 0
        for number, (now, clean) in enumerate(runs, start=1):
            boot = boots.begin(now)
            assert (boot.number, boot.unclean_count) == (number, unclean)
            assert not boot.loop or (unclean >= 3 and not boot.last_was_clean)
            if clean:
                boots.end_clean(now)
            else:
                unclean += 1


def test_a_clock_that_went_back_between_unclean_boots_hides_no_loop(boots: BootRecord) -> None:
    assert [boots.begin(now).loop for now in (_START, _START, 5, 6)] == [False, False, False, True]


def test_a_clock_that_went_back_does_not_bring_long_past_boots_near(boots: BootRecord) -> None:
    hours = [boots.begin(n * 60 * _MINUTE).loop for n in (0, 2, 4, 0)]
    assert not any(hours)
