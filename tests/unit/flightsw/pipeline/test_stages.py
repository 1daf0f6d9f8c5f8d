from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from deploy.rig.flight_unit import wait_until
from flightsw.errors import InferenceFailed, Interrupted
from flightsw.pipeline.stages import Stages, StopSignal


def test_a_stage_that_fails_before_the_next_one_is_built_still_surfaces() -> None:
    def broken() -> Iterator[int]:
        raise OSError("gone immediately")
        yield 0

    def run_two_stages() -> None:
        with Stages(stall_seconds=20) as stages:
            first = stages.run("first", broken(), depth=1)
            stages._threads[0].join(10)  # the failure is older than the second stage
            list(stages.run("second", first, depth=1))

    with pytest.raises(OSError, match="gone immediately"):
        run_two_stages()


def test_items_pass_through_all_stages_in_order() -> None:
    with Stages(stall_seconds=20) as stages:
        numbers = stages.run("count", iter(range(100)), depth=2)
        doubled = stages.run("double", (2 * number for number in numbers), depth=1)
        assert list(doubled) == list(range(0, 200, 2))


def test_a_stop_from_another_thread_ends_an_endless_scene() -> None:
    stop = StopSignal()

    def endless() -> Iterator[int]:
        yield 0
        stop.request(Interrupted("the scene", "was cancelled"))
        while True:
            yield 1

    def run() -> None:
        with Stages(stall_seconds=20, stop=stop) as stages:
            for _ in stages.run("endless", endless(), depth=1):
                pass

    with pytest.raises(Interrupted, match="was cancelled"):
        run()


def test_a_stop_that_came_before_the_scene_ends_it_immediately() -> None:
    stop = StopSignal()
    stop.request(Interrupted("the scene", "came too late"))
    with pytest.raises(Interrupted, match="too late"), Stages(20, stop) as stages:
        list(stages.run("numbers", iter(range(3)), depth=1))


def test_a_caller_that_rests_longer_than_the_deadline_is_not_a_stall() -> None:
    stalled = threading.Event()

    with Stages(stall_seconds=0.05) as stages:
        numbers = stages.run("count", iter(range(20)), depth=1)
        taken = [next(numbers)]
        with stages.resting():
            stalled.wait(0.5)
        assert [*taken, *numbers] == list(range(20))


def test_a_stage_that_rests_longer_than_the_deadline_is_not_a_stall() -> None:
    never, most = threading.Event(), threading.Event()

    def slow(stages: Stages, numbers: Iterator[int]) -> Iterator[int]:
        for number in numbers:
            for _ in range(10 if number == 5 else 0):
                stages.rested()
                never.wait(0.03)
            yield number
        most.set()

    with Stages(stall_seconds=0.05) as stages:
        numbers = stages.run("count", iter(range(20)), depth=1)
        assert list(stages.run("slow", slow(stages, numbers), depth=1)) == list(range(20))
    assert most.is_set()


def test_a_stage_that_rests_ends_with_the_others() -> None:
    def rests(stages: Stages) -> Iterator[int]:
        while True:
            stages.rested()
        yield 0

    def run() -> None:
        with Stages(stall_seconds=20) as stages:
            stages.run("rests", rests(stages), depth=1)
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        run()


def test_a_caller_that_takes_nothing_and_does_not_rest_is_a_stall() -> None:
    def hold(numbers: Iterator[int], ended: Callable[[], bool]) -> None:
        next(numbers)
        wait_until(ended, 20)
        list(numbers)

    with (
        pytest.raises(InferenceFailed, match="the stage after the count took nothing"),
        Stages(stall_seconds=0.05) as stages,
    ):
        hold(stages.run("count", iter(range(20)), depth=1), lambda: stages.ended)


def test_a_thread_that_finds_no_room_is_reported_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with Stages(stall_seconds=20) as stages:
        first = stages.run("first", iter(range(3)), depth=1)
        assert next(first) == 0
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", no_room)
            with pytest.raises(RuntimeError, match="can't start"):
                stages.run("second", first, depth=1)
    assert stages.ended
