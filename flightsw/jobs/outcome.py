"""How jobs end, or go back into the queue: on record, in verification and in events alike."""

from __future__ import annotations

import threading
from collections.abc import Callable
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
from telecommands.dictionary import CloudFraction, Code, JobState, SceneResult, Stage

_ROOM_SECONDS: Final = 10.0  # between two looks whether there is room for products again
_STATE_SECONDS: Final = 1.0  # between two attempts to write to the state


@dataclass
class RetryAfter:
    """What jobs wait for: room until a monotonic moment, or the service's end."""

    stopping: threading.Event = field(default_factory=threading.Event)
    until: float = 0.0


@dataclass(frozen=True)
class JobOutcomes:
    """Records what becomes of jobs.  Used by the processing thread, ``expired`` by the main one.

    A job's end, its products and the closing stage of its telecommand are one transaction.  Where
    the state cannot be written they wait until it can; a service that stops meanwhile finds the
    job RUNNING at its next boot, and runs it again.
    """

    state: StateFile
    jobs: JobQueue
    catalogue: ProductCatalogue
    parameters: ParameterStore
    modes: ModeMachine
    report: Callable[..., object]
    event: Callable[..., None]
    heartbeat: Callable[[], None]
    clock: Callable[[], int]
    monotonic: Callable[[], float]
    free_bytes: Callable[[], int]
    patience: RetryAfter

    @property
    def waiting_for_room(self) -> bool:
        """Whether the last job found no room for its products, a moment ago."""
        return self.monotonic() < self.patience.until

    def begun(self, job: Job) -> None:
        """It runs now."""
        data = {"job": job.id, "attempt": job.attempts}
        self._write(lambda: self.report(job.telecommand, Stage.STARTED, data=data))
        self.event("JOB_STARTED", f"{job.id}: {job.request.scene}", job=job.id)

    def completed(
        self, job: Job, products: PublishedProducts, fraction: CloudFraction, seconds: float
    ) -> None:
        """Its products wait for downlink."""
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
                self.jobs.end(job.id, JobState.COMPLETED, self.clock())
                stored = self.catalogue.add(job.id, new, self.clock())
                result = SceneResult(
                    job=job.id,
                    scene=job.request.scene,
                    contaminated=fraction.contaminated,
                    valid_pixels=fraction.valid_pixels,
                    seconds=seconds,
                    model=fraction.model,
                    products=tuple(product.product for product in stored),
                )
                self.report(job.telecommand, Stage.COMPLETED, data=msgspec.to_builtins(result))

        self._write(record)
        message = f"{job.id}: {fraction.contaminated:.1%} contaminated, {len(new)} products"
        self.event("JOB_COMPLETED", message, job=job.id)

    def stopped(self, job: Job, reason: FlightError) -> None:
        """Somebody stopped it: for good, or until its next turn."""
        if isinstance(reason, JobCancelled):
            self._end(job, JobState.CANCELLED, Stage.CANCELLED, Code.CANCELLED, reason.cause)
        elif isinstance(reason, DeadlinePassed):
            code = Code.DEADLINE_PASSED
            self._end(job, JobState.TIMED_OUT, Stage.TIMED_OUT, code, reason.cause)
        else:
            self._requeue(job, reason.cause, counts=False)

    def found_no_room(self, job: Job, full: DiskFull) -> None:
        """The disk itself is full: SAFE.  The quota alone: jobs wait until something went down."""
        self._requeue(job, full.cause, counts=False)
        self.patience.until = self.monotonic() + _ROOM_SECONDS
        if self.free_bytes() < self.parameters.number("storage.reserve_bytes"):
            self.event("DISK_FULL", str(full))
            self.modes.unsafe(SafeReason.DISK_FULL, full.cause)
        else:
            self.event("QUOTA_REACHED", str(full), job=job.id)

    def engine_failed(self, job: Job, error: EngineError) -> None:
        """It is tried again, as often as is allowed."""
        if job.attempts < self.parameters.number("processing.attempts"):
            self._requeue(job, str(error), counts=True)
        else:
            self.failed(job, failure_code(error), error.sentence, error.cure)

    def failed(self, job: Job, code: Code, cause: str, cure: str) -> None:
        """It cannot be done."""
        self._end(job, JobState.FAILED, Stage.FAILED, code, cause, cure)

    def expired(self, job: Job) -> None:
        """Its deadline passed while it waited, which is on record already."""
        cause = "the deadline passed before the job's turn came"
        self.report(job.telecommand, Stage.TIMED_OUT, code=Code.DEADLINE_PASSED, cause=cause)
        self.event("JOB_FAILED", f"{job.id}: {cause}", job=job.id)

    def _end(
        self, job: Job, state: JobState, stage: Stage, code: Code, cause: str, cure: str = ""
    ) -> None:
        def record() -> None:
            with self.state.transaction():
                self.jobs.end(job.id, state, self.clock(), code, cause)
                self.report(job.telecommand, stage, code=code, cause=cause, cure=cure)

        self._write(record)
        self.event("JOB_FAILED", f"{job.id}: {state.value}, {cause}", job=job.id, code=code.value)

    def _requeue(self, job: Job, why: str, *, counts: bool) -> None:
        def record() -> None:
            with self.state.transaction():
                after = self.jobs.requeue(job.id, self.clock(), counts=counts)
                if after.state.ended:  # cancelled meanwhile
                    self.report(
                        job.telecommand, Stage.CANCELLED, code=Code.CANCELLED, cause=after.cause
                    )

        self._write(record)
        self.event("JOB_REQUEUED", f"{job.id}: {why}", job=job.id)

    def _write(self, record: Callable[[], object]) -> None:
        told_of_it = False
        while True:
            try:
                record()
            except StateUnavailable as error:
                if not told_of_it:
                    told_of_it = True
                    self.event("DISK_FULL", str(error))
                    self.modes.unsafe(SafeReason.DISK_FULL, error.cause)
                self.heartbeat()
                if self.patience.stopping.wait(_STATE_SECONDS):
                    return
            else:
                return
