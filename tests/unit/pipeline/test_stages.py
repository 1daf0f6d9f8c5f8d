from __future__ import annotations

from collections.abc import Iterator

import pytest

from flightsw.errors import Interrupted
from flightsw.pipeline.stages import Stages, StopSignal


def test_a_stage_that_fails_before_the_next_one_is_built_still_surfaces() -> None:
    def broken() -> Iterator[int]:
        raise OSError("gone at once")
        yield 0

    def run_two_stages() -> None:
        with Stages(stall_seconds=20) as stages:
            first = stages.run("first", broken(), depth=1)
            stages._threads[0].join(10)  # the failure is older than the second stage
            list(stages.run("second", first, depth=1))

    with pytest.raises(OSError, match="gone at once"):
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


def test_a_stop_that_came_before_the_scene_ends_it_at_once() -> None:
    stop = StopSignal()
    stop.request(Interrupted("the scene", "came too late"))
    with pytest.raises(Interrupted, match="too late"), Stages(20, stop) as stages:
        list(stages.run("numbers", iter(range(3)), depth=1))
