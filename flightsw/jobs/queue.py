"""The durable job queue: a job is recorded before it is accepted, and every end has its reason.

Any thread may call; each call is one transaction of the state file, and nothing is kept in memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from datetime import datetime, timezone
from typing import Any, Final

import msgspec

from flightsw.errors import StateContradiction
from flightsw.jobs.suspects import CrashSuspects
from flightsw.state import StateFile
from telecommands.codec import decode_as, encode
from telecommands.dictionary import (
    Code,
    JobCounts,
    JobList,
    JobRecord,
    JobState,
    ListJobs,
    ProcessScene,
)
from telecommands.refusal import Refusal


class Job(msgspec.Struct, frozen=True):
    """What the service needs to run a job and to report on it.

    ``telecommand`` is the reference of the telecommand that asked for it; ``attempts`` counts its
    starts.
    """

    id: str
    telecommand: str
    request: ProcessScene
    attempts: int
    created_at: int


class JobRecovery(msgspec.Struct, frozen=True):
    """What became of the jobs that ran when the service died.

    ``suspects``: ids of these and of the job whose scene was decoded ahead; they run alone.
    """

    requeued: tuple[Job, ...]
    failed: tuple[Job, ...]
    cancelled: tuple[Job, ...]
    suspects: tuple[str, ...] = ()


class JobQueue:
    """Jobs by priority (9 first), then age; a job goes QUEUED → RUNNING → one final state.

    A RUNNING job that a telecommand cancelled carries the code CANCELLED until the service has
    stopped it, so that it never runs again, whatever cuts the stopping short.  Ids of jobs begin
    with the name of the ``unit``.
    """

    def __init__(self, state: StateFile, unit: str, waiting_limit: Callable[[], int]) -> None:
        self._unit = unit
        self._state = state
        self._waiting_limit = waiting_limit
        self.suspects = CrashSuspects(state)

    def add(self, telecommand: str, request: ProcessScene, now_ns: int) -> Job:
        """A new job, on disk.  :class:`Refusal` TIME_PASSED or QUEUE_FULL."""
        if request.deadline is not None and request.deadline < now_ns:
            raise Refusal(
                Code.TIME_PASSED, "the deadline has passed", "Give a later deadline, or none"
            )
        with self._state.transaction() as db:
            limit = self._waiting_limit()
            if _count(db, JobState.QUEUED) >= limit:
                raise Refusal(
                    Code.QUEUE_FULL, f"{limit} jobs wait already", "Wait, or cancel a job"
                )
            number = _last_number(db) + 1
            job = Job(_job_id(self._unit, number, now_ns), telecommand, request, 0, now_ns)
            db.execute(
                "INSERT INTO jobs (number, job, telecommand, request, scene, priority, deadline,"
                " state, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    number, job.id, telecommand, encode(request), request.scene, request.priority,
                    request.deadline, JobState.QUEUED.value, now_ns,
                ),
            )  # fmt: skip
        return job

    def next(self, now_ns: int, may_start: Callable[[], bool] = lambda: True) -> Job | None:
        """The job whose turn it is, RUNNING from now on with one more attempt; None: none waits.

        None too if it may not start, which no telecommand changes between the question and the
        record.
        """
        if self.waiting(now_ns) is None:
            return None  # nothing is written
        with self._state.transaction() as db:
            row = db.execute(_NEXT, (JobState.QUEUED.value, now_ns)).fetchone()
            if row is None or not may_start():
                return None
            db.execute(
                "UPDATE jobs SET state = ?, attempts = attempts + 1, started_at = ? WHERE job = ?",
                (JobState.RUNNING.value, now_ns, row[0]),
            )
            return self.job(row[0])

    def waiting(self, now_ns: int) -> Job | None:
        """The job that :meth:`next` would give now; it stays QUEUED."""
        with self._state.reading() as db:
            row = db.execute(_NEXT, (JobState.QUEUED.value, now_ns)).fetchone()
        return None if row is None else _job(row)

    def expire(self, now_ns: int) -> tuple[Job, ...]:
        """End the waiting jobs whose deadline has passed."""
        with self._state.transaction() as db:
            rows = db.execute(
                f"{_JOB} WHERE state = ? AND deadline < ? ORDER BY number",
                (JobState.QUEUED.value, now_ns),
            ).fetchall()
            late = tuple(_job(row) for row in rows)
            cause = "the deadline passed before the job's turn came"
            for job in late:
                self.end(job.id, JobState.TIMED_OUT, now_ns, Code.DEADLINE_PASSED, cause)
        return late

    def end(
        self, job_id: str, state: JobState, now_ns: int, code: Code | None = None, cause: str = ""
    ) -> JobRecord:
        """Record how a job ended; everything but COMPLETED has a code and a cause.

        COMPLETED has them if the code is STOPPED_ABOVE.
        :class:`StateContradiction` if it has ended already, or completed without running.
        """
        completed = state is JobState.COMPLETED
        plain = completed and code is not Code.STOPPED_ABOVE
        if not state.ended or (code is None, not cause) != (plain, plain):
            raise StateContradiction(
                job_id, f"cannot end as {state.value} with code {code} and cause {cause!r}"
            )
        with self._state.transaction() as db:
            before = self.record(job_id).state
            if before.ended or (completed and before is not JobState.RUNNING):
                raise StateContradiction(job_id, f"is {before.value}, cannot become {state.value}")
            db.execute(
                "UPDATE jobs SET state = ?, ended_at = ?, code = ?, cause = ? WHERE job = ?",
                (state.value, now_ns, None if code is None else code.value, cause, job_id),
            )
            return self.record(job_id)

    def requeue(self, job_id: str, now_ns: int, *, counts: bool) -> JobRecord:
        """Let a running job wait for its turn again; ``counts=False`` gives the attempt back.

        One that was cancelled meanwhile ends instead.  :class:`StateContradiction` if the job
        does not run.
        """
        with self._state.transaction() as db:
            record = self.record(job_id)
            if record.state is not JobState.RUNNING:
                raise StateContradiction(job_id, f"is {record.state.value}, cannot be requeued")
            if record.code is Code.CANCELLED:
                return self.end(job_id, JobState.CANCELLED, now_ns, record.code, record.cause)
            db.execute(
                "UPDATE jobs SET state = ?, attempts = attempts - ?, started_at = NULL"
                " WHERE job = ?",
                (JobState.QUEUED.value, 0 if counts else 1, job_id),
            )
            return self.record(job_id)

    def cancel(self, job_id: str, now_ns: int) -> JobRecord:
        """End a waiting job; mark a running one, which the service then stops and ends.

        :class:`Refusal` UNKNOWN_JOB or JOB_ENDED.
        """
        with self._state.transaction() as db:
            record = self.record(job_id)
            if record.state.ended:
                raise Refusal(Code.JOB_ENDED, f"job {job_id} is {record.state.value} already")
            if record.state is JobState.QUEUED:
                cause = "the job was cancelled by telecommand before it ran"
                return self.end(job_id, JobState.CANCELLED, now_ns, Code.CANCELLED, cause)
            db.execute(
                "UPDATE jobs SET code = ?, cause = ? WHERE job = ?",
                (Code.CANCELLED.value, "the job was cancelled by telecommand while it ran", job_id),
            )
            return self.record(job_id)

    def recover(
        self, attempts: int, now_ns: int, *, unclean: bool = True, crash: str = ""
    ) -> JobRecovery:
        """At boot: jobs found RUNNING wait again, or fail after ``attempts`` starts.

        After a clean end, and an ``unclean`` one with several suspects, the start is not counted:
        the service may have stopped faster than the job.  ``crash`` names the signal that ended
        the service, if it is known.
        """
        requeued, failed, cancelled = [], [], []
        with self._state.transaction() as db:
            suspects = self.suspects.accuse() if unclean else frozenset()
            self.suspects.decodes_nothing_ahead()
            counts = unclean and len(suspects) <= 1
            rows = db.execute(
                f"{_JOB} WHERE state = ? ORDER BY number", (JobState.RUNNING.value,)
            ).fetchall()
            for job in map(_job, rows):
                exhausted = counts and job.attempts >= attempts
                if exhausted and self.record(job.id).code is not Code.CANCELLED:
                    self.end(job.id, JobState.FAILED, now_ns, *_killing(job, crash))
                    failed.append(job)
                elif self.requeue(job.id, now_ns, counts=counts).state is JobState.CANCELLED:
                    cancelled.append(job)
                else:
                    requeued.append(job)
        return JobRecovery(
            tuple(requeued), tuple(failed), tuple(cancelled), tuple(sorted(suspects))
        )

    def distrust(self, jobs: Collection[str] | None, now_ns: int) -> tuple[Job, ...]:
        """End those of the jobs that are open: their records are older versions.

        None: any record may be one.  Such a job may have ended already; it must not run again.
        """
        with self._state.transaction() as db:
            rows = db.execute(f"{_JOB} WHERE ended_at IS NULL ORDER BY number").fetchall()
            open_jobs = [_job(row) for row in rows]
            distrusted = tuple(one for one in open_jobs if jobs is None or one.id in jobs)
            cause = "the job's record was damaged, and whether it had run is unknown"
            for job in distrusted:
                self.end(job.id, JobState.FAILED, now_ns, Code.STATE_LOST, cause)
        return distrusted

    def job(self, job_id: str) -> Job:
        """A job as it was asked for.  :class:`Refusal` UNKNOWN_JOB."""
        with self._state.reading() as db:
            row = db.execute(f"{_JOB} WHERE job = ?", (job_id,)).fetchone()
        if row is None:
            raise _unknown(job_id)
        return _job(row)

    def is_open(self, telecommand: str) -> bool:
        """Whether a job that has not ended was asked for by the telecommand."""
        with self._state.reading() as db:
            row = db.execute(
                "SELECT 1 FROM jobs WHERE telecommand = ? AND ended_at IS NULL LIMIT 1",
                (telecommand,),
            ).fetchone()
        return row is not None

    def record(self, job_id: str) -> JobRecord:
        """A job as the interface reports it.  :class:`Refusal` UNKNOWN_JOB."""
        with self._state.reading() as db:
            found = _records(db.execute(f"{_RECORD} WHERE job = ?", (job_id,)))
        if not found:
            raise _unknown(job_id)
        return found[0]

    def list(self, request: ListJobs) -> JobList:
        """Jobs of the states asked for, newest first."""
        states = msgspec.json.encode(request.states or tuple(JobState)).decode()
        with self._state.reading() as db:
            total = db.execute(
                "SELECT COUNT(*) FROM jobs WHERE state IN (SELECT value FROM json_each(?))",
                (states,),
            ).fetchone()[0]
            found = db.execute(
                f"{_RECORD} WHERE state IN (SELECT value FROM json_each(?))"  # noqa: S608
                " ORDER BY number DESC LIMIT ? OFFSET ?",
                (states, request.limit, request.skip),
            )
            return JobList(jobs=_records(found), total=total)

    def counts(self) -> JobCounts:
        """Jobs by state."""
        with self._state.reading() as db:
            rows = db.execute("SELECT state, COUNT(*) FROM jobs GROUP BY state").fetchall()
        return JobCounts(**{state.lower(): count for state, count in rows})


_JOB: Final = "SELECT job, telecommand, request, attempts, created_at FROM jobs"
_NEXT: Final = (
    f"{_JOB} WHERE state = ? AND (deadline IS NULL OR deadline >= ?)"
    " ORDER BY priority DESC, number LIMIT 1"
)
_RECORD: Final = (
    "SELECT job, scene, state, priority, attempts, created_at, started_at, ended_at, deadline,"
    " code, cause FROM jobs"
)


def _job(row: tuple[Any, ...]) -> Job:
    job, telecommand, request, attempts, created_at = row
    return Job(
        job, telecommand, decode_as(ProcessScene, request, f"job {job}"), attempts, created_at
    )


def _killing(job: Job, crash: str) -> tuple[Code, str]:
    cause = f"the service died {job.attempts} times while the job was running"
    if not crash:
        return Code.ATTEMPTS_EXHAUSTED, cause
    return Code.SERVICE_CRASHED, f"{cause}, most recently with {crash}"


def _records(found: sqlite3.Cursor) -> tuple[JobRecord, ...]:
    fields = [column[0] for column in found.description]
    return tuple(msgspec.convert(dict(zip(fields, row, strict=True)), JobRecord) for row in found)


def _unknown(job_id: str) -> Refusal:
    return Refusal(Code.UNKNOWN_JOB, f"job {job_id} does not exist", "See LIST_JOBS for the ids")


def _count(db: sqlite3.Connection, state: JobState) -> int:
    query = "SELECT COUNT(*) FROM jobs WHERE state = ?"
    return int(db.execute(query, (state.value,)).fetchone()[0])


def _last_number(db: sqlite3.Connection) -> int:
    """Of all jobs there ever were, even if the newest is gone."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'jobs'").fetchone()
    return 0 if row is None else int(row[0])


def _job_id(unit: str, number: int, now_ns: int) -> str:
    """Unlike any job of another unit, of an earlier state file (the time), of the same second."""
    time = datetime.fromtimestamp(now_ns // 10**9, timezone.utc)
    return f"{unit}-job-{number}-{time:%Y%m%dT%H%M%SZ}"
