"""The job queue: order, ends, and what a crash leaves."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from flightsw.errors import StateContradiction
from flightsw.jobs.queue import JobQueue
from flightsw.state import StateFile
from telecommands.dictionary import Code, JobCounts, JobState, ListJobs, ProcessScene
from telecommands.refusal import Refusal

_NOW = 1_700_000_000 * 10**9


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateFile]:
    with StateFile(tmp_path) as state:
        yield state


@pytest.fixture
def queue(state: StateFile) -> JobQueue:
    return JobQueue(state, "sat-a", lambda: 3)


def _scene(priority: int = 5, deadline: int | None = None) -> ProcessScene:
    return ProcessScene(scene="a.SAFE", priority=priority, deadline=deadline)


def _refused(code: Code) -> AbstractContextManager[object]:
    return pytest.raises(Refusal, match=rf"^{code.value}:")


def test_the_highest_priority_goes_first_and_the_oldest_of_it(queue: JobQueue) -> None:
    low, first, second = (queue.add("tc", _scene(priority), _NOW) for priority in (1, 9, 9))
    taken = [queue.next(_NOW) for _ in range(4)]
    assert [job and job.id for job in taken] == [first.id, second.id, low.id, None]


def test_a_job_keeps_what_was_asked_for(queue: JobQueue) -> None:
    request = ProcessScene(scene="b/c.SAFE", products=("mask",), engine="dimc", fusion="blend")
    job = queue.add("tc-1", request, _NOW)
    assert queue.next(_NOW) == queue.job(job.id)
    assert queue.job(job.id).request == request
    assert (queue.job(job.id).telecommand, queue.job(job.id).attempts) == ("tc-1", 1)


def test_job_ids_differ_between_state_files(tmp_path: Path) -> None:
    ids = set()
    for boot in range(2):
        with StateFile(tmp_path / str(boot)) as state:
            queue = JobQueue(state, "sat-a", lambda: 9)
            ids |= {queue.add(f"tc-{one}", _scene(), _NOW + boot * 10**9).id for one in range(2)}
    assert len(ids) == 4


def test_more_jobs_than_may_wait_are_refused(queue: JobQueue) -> None:
    for name in "abc":
        queue.add(name, _scene(), _NOW)
    with _refused(Code.QUEUE_FULL):
        queue.add("d", _scene(), _NOW)
    queue.next(_NOW)
    queue.add("d", _scene(), _NOW)


def test_a_deadline_that_has_passed_is_refused(queue: JobQueue) -> None:
    with _refused(Code.TIME_PASSED):
        queue.add("a", _scene(deadline=_NOW - 1), _NOW)
    assert queue.counts() == JobCounts()


def test_a_waiting_job_past_its_deadline_never_starts_and_times_out(queue: JobQueue) -> None:
    job = queue.add("a", _scene(deadline=_NOW), _NOW)
    assert job.id.startswith("sat-a-job-1-")
    assert queue.expire(_NOW) == ()
    assert queue.next(_NOW + 1) is None
    assert queue.expire(_NOW + 1) == (job,)
    record = queue.record(job.id)
    assert (record.state, record.code) == (JobState.TIMED_OUT, Code.DEADLINE_PASSED)
    assert record.cause
    assert record.ended_at == _NOW + 1


def test_a_running_job_is_not_expired(queue: JobQueue) -> None:
    queue.add("a", _scene(deadline=_NOW), _NOW)
    queue.next(_NOW)
    assert queue.expire(_NOW + 1) == ()


@pytest.mark.parametrize("end", [JobState.FAILED, JobState.CANCELLED, JobState.TIMED_OUT])
def test_an_end_without_success_needs_a_code_and_a_cause(queue: JobQueue, end: JobState) -> None:
    job = queue.add("a", _scene(), _NOW)
    with pytest.raises(StateContradiction):
        queue.end(job.id, end, _NOW)
    with pytest.raises(StateContradiction):
        queue.end(job.id, end, _NOW, Code.INTERNAL)
    assert queue.record(job.id).state is JobState.QUEUED


@pytest.mark.parametrize(
    ("end", "code", "cause"),
    [
        (JobState.COMPLETED, Code.STOPPED_ABOVE, ""),
        (JobState.COMPLETED, Code.CORRUPT_IMAGE, "the scene is damaged"),
    ],
)
def test_only_a_first_look_completes_a_job_with_a_code_and_it_says_why(
    queue: JobQueue, end: JobState, code: Code, cause: str
) -> None:
    queue.add("telecommand", ProcessScene(scene="a.SAFE"), 1)
    job = queue.next(2)
    assert job
    with pytest.raises(StateContradiction):
        queue.end(job.id, end, 3, code, cause)
    assert queue.end(job.id, end, 3, Code.STOPPED_ABOVE, "cloud").code is Code.STOPPED_ABOVE


def test_a_second_end_is_refused_and_leaves_the_first(queue: JobQueue) -> None:
    job = queue.add("a", _scene(), _NOW)
    queue.next(_NOW)
    first = queue.end(job.id, JobState.FAILED, _NOW, Code.DISK_FULL, "no room")
    with pytest.raises(StateContradiction, match="FAILED"):
        queue.end(job.id, JobState.COMPLETED, _NOW + 1)
    assert queue.record(job.id) == first


def test_a_job_that_does_not_run_neither_completes_nor_is_requeued(queue: JobQueue) -> None:
    job = queue.add("a", _scene(), _NOW)
    with pytest.raises(StateContradiction):
        queue.end(job.id, JobState.COMPLETED, _NOW)
    with pytest.raises(StateContradiction):
        queue.requeue(job.id, _NOW, counts=True)


def test_a_requeued_job_keeps_its_age_and_gives_an_attempt_back_where_asked(
    queue: JobQueue,
) -> None:
    old = queue.add("a", _scene(), _NOW)
    queue.add("b", _scene(), _NOW)
    queue.next(_NOW)
    assert queue.requeue(old.id, _NOW, counts=True).attempts == 1
    again = queue.next(_NOW)
    assert again is not None
    assert (again.id, again.attempts) == (old.id, 2)
    assert queue.requeue(old.id, _NOW, counts=False).attempts == 1


@pytest.mark.parametrize("all_of_them", [False, True])
def test_open_jobs_that_are_distrusted_never_run(queue: JobQueue, all_of_them: bool) -> None:
    ended, running, waiting = (queue.add("tc", _scene(priority), _NOW) for priority in (9, 8, 1))
    for _ in range(2):
        queue.next(_NOW)
    queue.end(ended.id, JobState.COMPLETED, _NOW)
    named = None if all_of_them else (ended.id, running.id)
    distrusted = queue.distrust(named, _NOW)
    expected = [running.id, waiting.id] if all_of_them else [running.id]
    assert [job.id for job in distrusted] == expected
    for job in expected:
        assert queue.record(job).code is Code.STATE_LOST
    assert queue.record(ended.id).state is JobState.COMPLETED
    following = queue.next(_NOW)
    assert (following and following.id) == (None if all_of_them else waiting.id)


def test_cancelling_a_waiting_job_ends_it(queue: JobQueue) -> None:
    job = queue.add("a", _scene(), _NOW)
    record = queue.cancel(job.id, _NOW)
    assert (record.state, record.code) == (JobState.CANCELLED, Code.CANCELLED)
    assert queue.next(_NOW) is None
    with _refused(Code.JOB_ENDED):
        queue.cancel(job.id, _NOW)


def test_a_running_job_that_was_cancelled_never_waits_again(queue: JobQueue) -> None:
    job = queue.add("a", _scene(), _NOW)
    queue.next(_NOW)
    assert queue.cancel(job.id, _NOW).state is JobState.RUNNING
    assert queue.requeue(job.id, _NOW, counts=True).state is JobState.CANCELLED


def test_a_cancelled_job_is_ended_at_the_next_boot(queue: JobQueue) -> None:
    job = queue.add("a", _scene(), _NOW)
    queue.next(_NOW)
    queue.cancel(job.id, _NOW)
    recovered = queue.recover(attempts=1, now_ns=_NOW)
    assert [one.id for one in recovered.cancelled] == [job.id]
    assert queue.record(job.id).state is JobState.CANCELLED


def test_a_job_that_completed_before_its_cancellation_took_hold_is_completed(
    queue: JobQueue,
) -> None:
    job = queue.add("a", _scene(), _NOW)
    queue.next(_NOW)
    queue.cancel(job.id, _NOW)
    record = queue.end(job.id, JobState.COMPLETED, _NOW)
    assert (record.state, record.code, record.cause) == (JobState.COMPLETED, None, "")


def test_unknown_jobs_are_refused(queue: JobQueue) -> None:
    with _refused(Code.UNKNOWN_JOB):
        queue.cancel("job-9", _NOW)
    with _refused(Code.UNKNOWN_JOB):
        queue.job("job-9")


def test_jobs_are_listed_newest_first_and_page_by_page(queue: JobQueue) -> None:
    ids = [queue.add(name, _scene(), _NOW).id for name in "abc"]
    queue.next(_NOW)
    listed = queue.list(ListJobs())
    assert [one.job for one in listed.jobs] == ids[::-1]
    page = queue.list(ListJobs(states=(JobState.QUEUED,), limit=1, skip=1))
    assert ([one.job for one in page.jobs], page.total) == ([ids[1]], 2)


@dataclass
class _ModelJob:
    number: int
    priority: int
    deadline: int | None
    state: JobState = JobState.QUEUED
    attempts: int = 0
    cancelled: bool = False


class JobWalk(RuleBasedStateMachine):
    """Any order of calls, crashes among them, against a list of jobs in memory."""

    _LIMIT = 4
    _ATTEMPTS = 2

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._boots = itertools.count()
        self._state = StateFile(Path(self._folder.name) / str(next(self._boots)))
        self._queue = JobQueue(self._state, "sat-a", lambda: self._LIMIT)
        self._model: dict[str, _ModelJob] = {}
        self._ahead, self._alone = "", set[str]()
        self._now = _NOW

    def teardown(self) -> None:
        self._state.close()
        self._folder.cleanup()

    def _in(self, *states: JobState) -> list[str]:
        return [name for name, job in self._model.items() if job.state in states]

    @rule(priority=st.integers(0, 9), deadline=st.none() | st.integers(-2, 5))
    def add(self, priority: int, deadline: int | None) -> None:
        at = None if deadline is None else self._now + deadline
        refused = (deadline is not None and deadline < 0) or (
            len(self._in(JobState.QUEUED)) >= self._LIMIT
        )
        if refused:
            with pytest.raises(Refusal):
                self._queue.add("tc", _scene(priority, at), self._now)
            return
        job = self._queue.add("tc", _scene(priority, at), self._now)
        assert job.id not in self._model
        self._model[job.id] = _ModelJob(len(self._model), priority, at)

    @rule()
    def next(self) -> None:
        ready = [
            (-job.priority, job.number, name)
            for name, job in self._model.items()
            if job.state is JobState.QUEUED and (job.deadline is None or job.deadline >= self._now)
        ]
        job = self._queue.next(self._now)
        assert (job.id if job else None) == (min(ready)[2] if ready else None)
        if job:
            self._model[job.id].state = JobState.RUNNING
            self._model[job.id].attempts += 1
            assert job.attempts == self._model[job.id].attempts

    @rule(seconds=st.integers(-2, 4))
    def time_passes_or_jumps(self, seconds: int) -> None:
        self._now += seconds

    @rule()
    def expire(self) -> None:
        late = [
            name
            for name in self._in(JobState.QUEUED)
            if (deadline := self._model[name].deadline) is not None and deadline < self._now
        ]
        assert [job.id for job in self._queue.expire(self._now)] == late
        for name in late:
            self._model[name].state = JobState.TIMED_OUT

    @precondition(lambda self: self._model)
    @rule(data=st.data(), state=st.sampled_from([one for one in JobState if one.ended]))
    def end(self, data: st.DataObject, state: JobState) -> None:
        name = data.draw(st.sampled_from(list(self._model)))
        job = self._model[name]
        reason = () if state is JobState.COMPLETED else (Code.INTERNAL, "so it was")
        needs = (JobState.RUNNING,) if not reason else (JobState.RUNNING, JobState.QUEUED)
        if job.state in needs:
            self._queue.end(name, state, self._now, *reason)
            job.state = state
        else:
            with pytest.raises(StateContradiction):
                self._queue.end(name, state, self._now, *reason)

    @precondition(lambda self: self._model)
    @rule(data=st.data(), counts=st.booleans())
    def requeue(self, data: st.DataObject, counts: bool) -> None:
        name = data.draw(st.sampled_from(list(self._model)))
        job = self._model[name]
        if job.state is not JobState.RUNNING:
            with pytest.raises(StateContradiction):
                self._queue.requeue(name, self._now, counts=counts)
        elif job.cancelled:
            self._queue.requeue(name, self._now, counts=counts)
            job.state = JobState.CANCELLED
        else:
            self._queue.requeue(name, self._now, counts=counts)
            job.state = JobState.QUEUED
            job.attempts -= not counts

    @precondition(lambda self: self._model)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(list(self._model)))
        job = self._model[name]
        if job.state.ended:
            with pytest.raises(Refusal):
                self._queue.cancel(name, self._now)
        elif job.state is JobState.QUEUED:
            self._queue.cancel(name, self._now)
            job.state = JobState.CANCELLED
        else:
            self._queue.cancel(name, self._now)
            job.cancelled = True

    @precondition(lambda self: self._in(JobState.QUEUED) and self._in(JobState.RUNNING))
    @rule(data=st.data())
    def decode_ahead(self, data: st.DataObject) -> None:
        ahead = data.draw(st.sampled_from(self._in(JobState.QUEUED)))
        beside = data.draw(st.sampled_from(self._in(JobState.RUNNING)))
        allowed = not {ahead, beside} & self._alone
        assert self._queue.suspects.decodes_ahead(ahead, beside) == allowed
        self._ahead = ahead if allowed else self._ahead

    @rule()
    def decode_nothing_ahead(self) -> None:
        self._queue.suspects.decodes_nothing_ahead()
        self._ahead = ""

    @rule()
    def crash_and_boot(self) -> None:
        old, new = self._state, Path(self._folder.name) / str(next(self._boots))
        shutil.copytree(old.path.parent, new)  # what the disk has at this instant
        old.close()
        self._state = StateFile(new)
        self._queue = JobQueue(self._state, "sat-a", lambda: self._LIMIT)
        recovered = self._queue.recover(self._ATTEMPTS, self._now)
        working = {*self._in(JobState.RUNNING)}
        working |= {self._ahead} & {*self._in(JobState.QUEUED)}
        assert {*recovered.suspects} == working
        self._ahead, self._alone, charged = "", self._alone | working, len(working) <= 1
        states = {job.id: JobState.QUEUED for job in recovered.requeued}
        states |= {job.id: JobState.FAILED for job in recovered.failed}
        states |= {job.id: JobState.CANCELLED for job in recovered.cancelled}
        expected = {}
        for name in self._in(JobState.RUNNING):
            job = self._model[name]
            if job.cancelled:
                job.state = JobState.CANCELLED
            elif job.attempts >= self._ATTEMPTS and charged:
                job.state = JobState.FAILED
            else:
                job.state = JobState.QUEUED
            if job.state is not JobState.FAILED and not job.cancelled and not charged:
                job.attempts -= 1
            expected[name] = job.state
        assert states == expected

    @invariant()
    def no_job_is_lost_and_every_end_has_its_reason(self) -> None:
        listed = self._queue.list(ListJobs(limit=500))
        assert {one.job: one.state for one in listed.jobs} == {
            name: job.state for name, job in self._model.items()
        }
        for one in listed.jobs:
            assert one.attempts == self._model[one.job].attempts
            assert (one.ended_at is not None) == one.state.ended
            if one.state.ended:
                completed = one.state is JobState.COMPLETED
                assert (one.code is None, one.cause == "") == (completed, completed)


JobWalk.TestCase.settings = settings(max_examples=30, stateful_step_count=25)
test_any_walk_of_calls_and_crashes_agrees_with_a_list_of_jobs = JobWalk.TestCase


def test_a_job_that_may_not_start_waits_without_an_attempt(queue: JobQueue) -> None:
    job = queue.add("tc", _scene(), _NOW)
    assert queue.next(_NOW, lambda: False) is None
    assert (queue.record(job.id).state, queue.job(job.id).attempts) == (JobState.QUEUED, 0)
    assert queue.next(_NOW, lambda: True) == queue.job(job.id)
