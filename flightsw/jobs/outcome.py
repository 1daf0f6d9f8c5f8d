"""How jobs end, or go back into the queue: on record, in verification and in events alike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from flightsw.commanding.parameters import ParameterStore
from flightsw.commanding.verification import failure_code
from flightsw.downlink.catalogue import NewProduct, ProductCatalogue
from flightsw.errors import (
    DeadlinePassed,
    DiskFull,
    EngineError,
    FlightError,
    JobCancelled,
    StateUnavailable,
)
from flightsw.fdir.modes import ModeMachine, SafeReason
from flightsw.jobs.queue import Job, JobQueue
from flightsw.products.product_set import PublishedProducts
from flightsw.state import StateFile
from flightsw.telemetry.reporting import ServicePorts
from telecommands.dictionary import (
    CancelJob,
    CloudFraction,
    Code,
    JobState,
    SceneResult,
    Stage,
    Verification,
)

_ROOM_SECONDS: Final = 10.0  # between two checks whether there is room for products again
_STATE_SECONDS: Final = 1.0  # between two attempts to write to the state


@dataclass
class RetryAfter:
    """When a job may be tried again: from a monotonic moment on, never once ``stopping`` is set."""

    stopping: threading.Event = field(default_factory=threading.Event)
    until: float = 0.0


@dataclass(frozen=True)
class JobOutcomes:
    """Records what becomes of jobs.  Used by the processing thread, ``expired`` by the main one.

    A job's end, its products and the closing stage of its telecommand are one transaction.  If the
    state cannot be written they wait until it can; a service that stops meanwhile finds the job
    RUNNING at its next boot, and runs it again.  ``unclosed`` gives reference and latest stage of
    each telecommand that is not closed: those that cancel the job close with it.
    """

    state: StateFile
    jobs: JobQueue
    catalogue: ProductCatalogue
    parameters: ParameterStore
    modes: ModeMachine
    ports: ServicePorts
    free_bytes: Callable[[], int]
    retry: RetryAfter
    unclosed: Callable[[], Sequence[tuple[str, Verification]]]

    @property
    def waiting_for_room(self) -> bool:
        """Whether the last job had too little room for its products, a moment ago."""
        return self.ports.monotonic() < self.retry.until

    def begun(self, job: Job) -> None:
        """The job runs now."""
        data = {"job": job.id, "attempt": job.attempts}
        self._write(lambda: self.ports.report(job.telecommand, Stage.STARTED, data=data))
        message = f"{job.id} processes {job.request.scene}"
        self.ports.event("JOB_STARTED", message, job=job.id, scene=job.request.scene)

    def completed(
        self, job: Job, products: PublishedProducts, fraction: CloudFraction, seconds: float
    ) -> None:
        """The job's products wait for downlink; what is doubtful about the scene is an event.

        If the scene ended after a first look, the job has the code STOPPED_ABOVE.
        """
        code, cause = _why_stopped(job, fraction)
        new = [
            NewProduct(
                kind=file.product,  # type: ignore[arg-type]
                path=products.folder / file.name,
                size=file.bytes,
                sha256=file.sha256,
                clear=1 - fraction.contaminated,
            )
            for file in products.files
        ]

        def record() -> None:
            with self.state.transaction():
                self.jobs.end(job.id, JobState.COMPLETED, self.ports.clock(), code, cause)
                stored = self.catalogue.add(job.id, new, self.ports.clock())
                result = SceneResult(
                    job=job.id,
                    scene=job.request.scene,
                    contaminated=fraction.contaminated,
                    valid_pixels=fraction.valid_pixels,
                    seconds=seconds,
                    model=fraction.model,
                    products=tuple(product.product for product in stored),
                )
                data = msgspec.to_builtins(result)
                self.ports.report(
                    job.telecommand, Stage.COMPLETED, code=code, cause=cause, data=data
                )
                self.close_cancellations(job.id)

        self._write(record)
        message = f"{job.id} wrote {len(new)} products: {fraction.contaminated:.1%} contaminated"
        if code:
            message += f"; {code.value}: {cause}"
        self.ports.event("JOB_COMPLETED", message, job=job.id)
        for remark in products.report.summary.remarks:
            message = f"{job.request.scene} of {job.id}: {remark}"
            self.ports.event("SCENE_DOUBTFUL", message, job=job.id)
        known = products.report.summary.experience
        if known and known.outside:
            message = f"{job.request.scene} of {job.id}: {known.remark}"
            self.ports.event(
                "OUTSIDE_EXPERIENCE", message, job=job.id, distance=round(known.distance, 3)
            )

    def stopped(self, job: Job, reason: FlightError) -> None:
        """The job was stopped: permanently, or until its next turn."""
        if isinstance(reason, JobCancelled):
            self._end(job, JobState.CANCELLED, Stage.CANCELLED, Code.CANCELLED, reason.sentence)
        elif isinstance(reason, DeadlinePassed):
            code = Code.DEADLINE_PASSED
            self._end(job, JobState.TIMED_OUT, Stage.TIMED_OUT, code, reason.sentence)
        else:
            self._requeue(job, reason.sentence, counts=False)

    def found_no_room(self, job: Job, full: DiskFull) -> None:
        """SAFE if the disk itself is full; if only the quota is, jobs wait for a downlink."""
        self._requeue(job, full.sentence, counts=False)
        self.retry.until = self.ports.monotonic() + _ROOM_SECONDS
        if self.free_bytes() < self.parameters.number("storage.reserve_bytes"):
            self.ports.event("DISK_FULL", str(full))
            self.modes.unsafe(SafeReason.DISK_FULL, full.sentence)
        else:
            self.ports.event("QUOTA_REACHED", str(full), job=job.id)

    def engine_failed(self, job: Job, error: EngineError) -> None:
        """Retry the job, as often as ``processing.attempts`` allows."""
        if job.attempts < self.parameters.number("processing.attempts"):
            self._requeue(job, error.sentence, counts=True)
        else:
            self.failed(job, failure_code(error), error.sentence, error.cure)

    def failed(self, job: Job, code: Code, cause: str, cure: str) -> None:
        """The job cannot be done."""
        self._end(job, JobState.FAILED, Stage.FAILED, code, cause, cure)

    def expired(self, job: Job) -> None:
        """The job's deadline passed while it waited, which is on record already."""
        cause = "the deadline passed before the job's turn came"
        self.ports.report(job.telecommand, Stage.TIMED_OUT, code=Code.DEADLINE_PASSED, cause=cause)
        self.ports.event("JOB_FAILED", f"{job.id} timed out: {cause}", job=job.id)

    def close_cancellations(self, job_id: str) -> None:
        """Close the telecommands CANCEL_JOB of a job whose end is recorded."""
        ended = self.jobs.record(job_id).state
        for reference, latest in self.unclosed():
            if latest.name != CancelJob.NAME or latest.data.get("job") != job_id:
                continue
            self.ports.report(reference, Stage.STARTED)
            if ended is JobState.CANCELLED:
                self.ports.report(reference, Stage.COMPLETED)
            else:
                cause = f"job {job_id} became {ended.value} before it could be stopped"
                self.ports.report(reference, Stage.FAILED, code=Code.JOB_ENDED, cause=cause)

    def _end(
        self, job: Job, state: JobState, stage: Stage, code: Code, cause: str, cure: str = ""
    ) -> None:
        def record() -> None:
            with self.state.transaction():
                self.jobs.end(job.id, state, self.ports.clock(), code, cause)
                self.ports.report(job.telecommand, stage, code=code, cause=cause, cure=cure)
                self.close_cancellations(job.id)

        self._write(record)
        message = f"{job.id} is {state.value}: {cause}"
        self.ports.event("JOB_FAILED", message, job=job.id, code=code.value)

    def _requeue(self, job: Job, why: str, *, counts: bool) -> None:
        def record() -> None:
            with self.state.transaction():
                after = self.jobs.requeue(job.id, self.ports.clock(), counts=counts)
                if after.state.ended:  # cancelled meanwhile
                    self.ports.report(
                        job.telecommand, Stage.CANCELLED, code=Code.CANCELLED, cause=after.cause
                    )
                    self.close_cancellations(job.id)

        self._write(record)
        self.ports.event("JOB_REQUEUED", f"{job.id} waits again: {why}", job=job.id)

    def _write(self, record: Callable[[], object]) -> None:
        reported = False
        while True:
            try:
                record()
            except StateUnavailable as error:
                if not reported:
                    reported = True
                    self.ports.event("DISK_FULL", str(error))
                    self.modes.unsafe(SafeReason.DISK_FULL, error.sentence)
                self.ports.heartbeat()
                if self.retry.stopping.wait(_STATE_SECONDS):
                    return
            else:
                return


def _why_stopped(job: Job, fraction: CloudFraction) -> tuple[Code | None, str]:
    """Code and cause of a job whose scene ended after a first look; no code and no cause else."""
    if fraction.at_least is None:
        return None, ""
    cause = f"the mask would be at least {fraction.at_least:.1%} contaminated"
    return Code.STOPPED_ABOVE, f"{cause}, and stop_above is {job.request.stop_above:.1%}"
