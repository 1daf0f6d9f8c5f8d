from __future__ import annotations

import threading

from flightsw.fdir.watchdog import Heartbeats


def test_a_thread_that_answers_in_time_does_not_stall() -> None:
    hearts = Heartbeats()
    hearts.expect("downlink", 5, monotonic=100)
    hearts.beat("downlink", 104)
    assert hearts.stalled(109) == []
    assert hearts.stalled(109.1) == ["downlink"]
    assert hearts.ages(109) == {"downlink": 5}


def test_a_thread_that_never_answered_stalls_too() -> None:
    hearts = Heartbeats()
    hearts.expect("a", 5, monotonic=0)
    hearts.expect("b", 50, monotonic=0)
    assert hearts.stalled(6) == ["a"]
    assert hearts.stalled(51) == ["a", "b"]


def test_a_thread_that_answers_again_counts_again() -> None:
    hearts = Heartbeats()
    hearts.expect("a", 1, monotonic=0)
    assert hearts.stalled(5) == ["a"]
    hearts.beat("a", 5)
    assert hearts.stalled(5) == []


def test_what_ended_in_order_is_expected_no_more_even_if_it_beats_once_more() -> None:
    hearts = Heartbeats()
    hearts.expect("a", 1, monotonic=0)
    hearts.forget("a")
    hearts.beat("a", 1)
    hearts.forget("a")
    assert (hearts.stalled(100), hearts.ages(100)) == ([], {})


def test_expecting_again_changes_the_time_allowed() -> None:
    hearts = Heartbeats()
    hearts.expect("processing", 1, monotonic=0)
    hearts.expect("processing", 120, monotonic=1)
    assert hearts.stalled(100) == []


def test_a_beat_reported_late_never_turns_time_back() -> None:
    hearts = Heartbeats()
    hearts.expect("a", 5, monotonic=0)
    hearts.beat("a", 10)
    hearts.beat("a", 3)
    assert hearts.ages(10) == {"a": 0}


def test_threads_beat_while_others_come_and_go() -> None:
    hearts = Heartbeats()
    failures: list[BaseException] = []

    def live(name: str) -> None:
        try:
            for n in range(500):
                hearts.expect(name, 1, n)
                hearts.beat(name, n)
                hearts.ages(n)
                hearts.stalled(n)
                hearts.forget(name)
        except RuntimeError as error:
            failures.append(error)

    threads = [threading.Thread(target=live, args=(f"t{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
