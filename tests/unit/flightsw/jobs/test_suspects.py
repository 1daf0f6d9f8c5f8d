from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightsw.fdir.boots import KILLED, POWER_CUT, SAME_JOB, BootRecord
from flightsw.jobs.queue import Job, JobQueue
from flightsw.state import StateFile
from telecommands.dictionary import Code, JobState, ProcessScene

_NOW = 1_800_000_000 * 10**9
_ATTEMPTS = 2


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[JobQueue]:
    with StateFile(tmp_path) as state:
        yield JobQueue(state, "sat-a", lambda: 9)


def _add(queue: JobQueue, *priorities: int) -> list[Job]:
    return [
        queue.add(f"tc-{number}", ProcessScene(scene="a.SAFE", priority=priority), _NOW)
        for number, priority in enumerate(priorities)
    ]


def _crash(queue: JobQueue) -> tuple[str, ...]:
    return queue.recover(_ATTEMPTS, _NOW, crash="Segmentation fault").suspects


def test_of_two_jobs_at_work_neither_is_charged_and_both_run_alone(queue: JobQueue) -> None:
    running, ahead, later = _add(queue, 5, 5, 5)
    queue.next(_NOW)
    assert queue.suspects.decodes_ahead(ahead.id, beside=running.id)
    assert _crash(queue) == (running.id, ahead.id)
    assert queue.record(running.id).attempts == queue.record(ahead.id).attempts == 0
    assert not queue.suspects.decodes_ahead(ahead.id, beside=running.id)
    assert not queue.suspects.decodes_ahead(later.id, beside=running.id)
    assert not queue.suspects.decodes_ahead(later.id, beside=ahead.id)
    queue.next(_NOW)
    assert _crash(queue) == (running.id,)
    assert queue.record(running.id).attempts == 1


def test_a_job_that_crashes_alone_fails_with_the_signal(queue: JobQueue) -> None:
    (job,) = _add(queue, 5)
    for _ in range(_ATTEMPTS):
        queue.next(_NOW)
        _crash(queue)
    record = queue.record(job.id)
    assert (record.state, record.code) == (JobState.FAILED, Code.SERVICE_CRASHED)
    assert "Segmentation fault" in record.cause


def test_a_scene_that_was_left_is_not_suspected(queue: JobQueue) -> None:
    running, ahead = _add(queue, 5, 5)
    queue.next(_NOW)
    queue.suspects.decodes_ahead(ahead.id, beside=running.id)
    queue.suspects.decodes_nothing_ahead()
    assert _crash(queue) == (running.id,)


def test_a_scene_whose_job_has_ended_is_not_suspected(queue: JobQueue) -> None:
    running, ahead = _add(queue, 5, 5)
    queue.next(_NOW)
    queue.suspects.decodes_ahead(ahead.id, beside=running.id)
    queue.cancel(ahead.id, _NOW)
    assert _crash(queue) == (running.id,)


def test_after_a_clean_end_nobody_is_suspected(queue: JobQueue) -> None:
    running, ahead = _add(queue, 5, 5)
    queue.next(_NOW)
    queue.suspects.decodes_ahead(ahead.id, beside=running.id)
    assert queue.recover(_ATTEMPTS, _NOW, unclean=False).suspects == ()
    assert queue.record(running.id).attempts == 0
    assert queue.suspects.decodes_ahead(ahead.id, beside=running.id)


@pytest.mark.parametrize("before", ["same", "other"])
def test_a_power_cut_is_not_blamed_on_a_job(tmp_path: Path, before: str) -> None:
    with StateFile(tmp_path) as state:
        boots = BootRecord(state)
        boots.begin(_NOW, before)
        cause = boots.begin(_NOW, "same", same_job=True).reset_cause
    assert cause == (KILLED + SAME_JOB if before == "same" else POWER_CUT)


class _Unit:
    """Boots, jobs and crashes, without the processing."""

    def __init__(self, state: StateFile, priorities: list[int], poison: set[int]) -> None:
        self.boots = BootRecord(state)
        self.queue = JobQueue(state, "sat-a", lambda: 99)
        self.jobs = _add(self.queue, *priorities)
        self.poison = {self.jobs[number].id for number in poison}
        self.loops = 0

    def boot(self) -> None:
        same_job = self.queue.suspects.same_again()
        boot = self.boots.begin(_NOW, "one", crashed=True, same_job=same_job)
        self.loops += boot.loop
        self.queue.recover(_ATTEMPTS, _NOW, unclean=not boot.last_was_clean, crash="SIGSEGV")

    def run(self) -> bool:
        """Run jobs until the service crashes (True), or none is left."""
        while job := self.queue.next(_NOW):
            if job.id in self.poison:
                return True
            self.queue.suspects.decodes_nothing_ahead()
            following = self.queue.waiting(_NOW)
            if following and self.queue.suspects.decodes_ahead(following.id, beside=job.id):  # noqa: SIM102
                if following.id in self.poison:
                    return True
            self.queue.end(job.id, JobState.COMPLETED, _NOW)
        return False


@settings(max_examples=60)
@given(st.data())
def test_two_poison_scenes_anywhere_harm_no_other_job_and_are_not_a_boot_loop(
    data: st.DataObject,
) -> None:
    priorities = data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=6))
    poison = data.draw(st.sets(st.integers(0, len(priorities) - 1), max_size=2))
    with tempfile.TemporaryDirectory() as folder, StateFile(Path(folder)) as state:
        unit = _Unit(state, priorities, poison)
        unit.boot()
        while unit.run():
            unit.boot()
        for job in unit.jobs:
            record = unit.queue.record(job.id)
            ended = (record.state, record.code, record.attempts)
            if job.id in unit.poison:
                assert ended == (JobState.FAILED, Code.SERVICE_CRASHED, _ATTEMPTS)
            else:
                assert ended == (JobState.COMPLETED, None, 1)
        assert unit.loops == 0


def test_an_engine_that_crashes_with_every_job_leads_to_safe_mode(tmp_path: Path) -> None:
    with StateFile(tmp_path) as state:
        unit = _Unit(state, [5] * 8, set(range(8)))
        unit.boot()
        while not unit.loops:
            assert unit.run()
            unit.boot()
        failed = [job for job in unit.jobs if unit.queue.record(job.id).state is JobState.FAILED]
    assert len(failed) == 2  # the third job ends it
