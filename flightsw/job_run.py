"""One job from its start to its recorded end."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import structlog

from flightsw.chain import ProcessedScene, ProcessingChain, SceneRequest
from flightsw.commanding.parameters import ParameterStore
from flightsw.commanding.verification import failure_code
from flightsw.confinement import confined
from flightsw.downlink.catalogue import NewProduct, ProductCatalogue
from flightsw.downlink.storage import make_room
from flightsw.errors import (
    DeadlinePassed,
    DiskFull,
    EngineError,
    FlightError,
    Interrupted,
    JobCancelled,
    StateUnavailable,
)
from flightsw.fdir.modes import ModeMachine, SafeReason
from flightsw.jobs import Job, JobQueue
from flightsw.model.golden import GoldenReport
from flightsw.pipeline.stages import StopSignal
from flightsw.products.contents import RowSink
from flightsw.products.disk import bytes_needed
from flightsw.products.fraction_map import FractionMap
from flightsw.scene.scene import SceneMetadata
from flightsw.state import StateFile
from telecommands.dictionary import (
    CloudFraction,
    Code,
    JobState,
    Progress,
    Record,
    SceneResult,
    Stage,
    Topic,
)
from telecommands.refusal import Refusal

_log: Final = structlog.get_logger(__name__)

_ROOM_SECONDS: Final = 10.0  # between two looks whether there is room for products again
_COOLING_SECONDS: Final = 1.0
_STATE_SECONDS: Final = 1.0  # between two attempts to record an end


class JobRun:
    """A job that runs now, and the ways to stop it; any thread may call."""

    def __init__(self, job: Job, now_ns: int, monotonic: float) -> None:
        self.job = job
        self.stop = StopSignal()
        self.started = monotonic
        deadline = job.request.deadline
        # From here on the monotonic clock counts: UTC may jump.
        self._ends_at = None if deadline is None else monotonic + (deadline - now_ns) / 1e9

    def cancel(self) -> None:
        """A telecommand wants it to end."""
        self.stop.request(JobCancelled(self.job.id, "was cancelled by telecommand"))

    def interrupt(self, why: str) -> None:
        """It must wait for its turn again."""
        self.stop.request(Interrupted(self.job.id, why))

    def check_deadline(self, monotonic: float) -> None:
        """Stop it where its deadline has passed."""
        if self._ends_at is not None and monotonic > self._ends_at:
            self.stop.request(DeadlinePassed(self.job.id, "did not end before its deadline"))


class Bench(Protocol):
    """The engine, as a job needs it (:class:`flightsw.processing.Processing`)."""

    @property
    def chain(self) -> _Chain:
        """The chain of the model that flies."""
        ...

    def check_engine(self) -> GoldenReport | None:
        """Golden tiles; SAFE mode where they fail."""
        ...


class _Chain(Protocol):
    def ready(self) -> ProcessingChain: ...
    def close(self) -> None: ...


@dataclass
class Patience:
    """What the runner waits for: room until a monotonic moment, or the service's end."""

    stopping: threading.Event
    until: float = 0.0


@dataclass(frozen=True)
class JobRunner:
    """Carries jobs out: products, records, verification, telemetry.  Used by one thread.

    ``free_bytes`` tells what the products' disk can still take, ``under_transfer`` which products
    a receiver asked for; ``cool`` is set while work may go on.
    """

    state: StateFile
    jobs: JobQueue
    catalogue: ProductCatalogue
    parameters: ParameterStore
    modes: ModeMachine
    scene_root: Path
    products: Path
    report: Callable[..., object]
    publish: Callable[[Topic, Record], None]
    event: Callable[..., None]
    heartbeat: Callable[[], None]
    clock: Callable[[], int]
    monotonic: Callable[[], float]
    free_bytes: Callable[[], int]
    under_transfer: Callable[[], Collection[str]]
    cool: threading.Event
    patience: Patience

    def waits_for_room(self) -> bool:
        """Whether the last job found no room for its products, a moment ago."""
        return self.monotonic() < self.patience.until

    def carry_out(self, run: JobRun, bench: Bench) -> None:
        """Run a job to its end, or back into the queue; raises nothing that a job can cause."""
        job = run.job
        self._settle(self._tell_start, job)
        self.event("JOB_STARTED", f"{job.id}: {job.request.scene}", job=job.id)
        try:
            self._complete(run, self._process(run, bench))
        except Interrupted as interruption:
            self._settle(self._stopped, job, run.stop.reason or interruption)
        except DiskFull as full:
            self._settle(self._wait_for_room, job, full)
        except EngineError as error:
            bench.chain.close()
            self._settle(self._try_again, job, error)
            bench.check_engine()
        except FlightError as error:
            code, cause = failure_code(error), f"{error.subject}: {error.cause}"
            self._settle(self._failed, job, code, cause, error.cure)
        except Refusal as refusal:
            self._settle(self._failed, job, refusal.code, refusal.cause, refusal.cure)
        except Exception as fault:  # noqa: BLE001 - whatever a scene does, the service lives
            _log.error("job failed", job=job.id, exc_info=fault)
            self.event("INTERNAL_FAULT", f"{job.id}: {type(fault).__name__}", job=job.id)
            self._settle(self._failed, job, Code.INTERNAL, Code.INTERNAL.doc, "Report it")

    def _tell_start(self, job: Job) -> None:
        data = {"job": job.id, "attempt": job.attempts}
        self.report(job.telecommand, Stage.STARTED, data=data)

    def tell_expired(self, job: Job) -> None:
        """A waiting job's deadline passed; its end is on record."""
        cause = "the deadline passed before the job's turn came"
        self.report(job.telecommand, Stage.TIMED_OUT, code=Code.DEADLINE_PASSED, cause=cause)
        self.event("JOB_FAILED", f"{job.id}: {cause}", job=job.id)

    # --- The scene ---------------------------------------------------------------------------

    def _process(self, run: JobRun, bench: Bench) -> tuple[ProcessedScene, CloudFraction]:
        request = run.job.request
        scene = confined(self.scene_root, request.scene)
        folder = self.products / run.job.id
        shutil.rmtree(folder, ignore_errors=True)  # of an attempt that was cut short
        chain = bench.chain.ready()
        if self.parameters.value("processing.self_test"):
            report = bench.check_engine()
            if report is None or not report.passed:
                raise Interrupted(run.job.id, "the engine failed its self-test")
        if run.stop.reason:
            raise run.stop.reason
        fractions: list[tuple[SceneMetadata, FractionMap]] = []

        def begun(metadata: SceneMetadata) -> Sequence[RowSink]:
            self._make_room(bytes_needed(request.products, metadata), run.job.id)
            grid = chain.grid(metadata)
            fractions.append((metadata, FractionMap(grid.rows, grid.columns, grid.stride)))
            return [fractions[-1][1]]

        chosen = SceneRequest(
            scene=scene,
            out=folder,
            products=frozenset(request.products),
            ground_sample_distance=request.ground_sample_distance,
            fusion=request.fusion or self.parameters.text("processing.fusion"),  # type: ignore[arg-type]
        )
        self.products.mkdir(parents=True, exist_ok=True)
        processed = chain.process(chosen, self._progress(run), begun=begun, stop=run.stop)
        return processed, _cloud_fraction(run.job, chain, processed, fractions[-1][1])

    def _progress(self, run: JobRun) -> Callable[[int, int], None]:
        last = -1.0

        def tell(done: int, rows: int) -> None:
            nonlocal last
            self._wait_until_cool(run)
            self.heartbeat()
            now = self.monotonic()
            if done < rows and now - last < self.parameters.number("progress.period_s"):
                return
            last = now
            progress = Progress(
                job=run.job.id,
                scene=run.job.request.scene,
                rows_done=done,
                rows=rows,
                elapsed_s=now - run.started,
            )
            self.publish("sci.progress", progress)
            self.report(run.job.telecommand, Stage.PROGRESS, step=done, of=rows)

        return tell

    def _wait_until_cool(self, run: JobRun) -> None:
        """Rows wait here, so the queues fill and the card rests."""
        while not self.cool.wait(_COOLING_SECONDS):
            self.heartbeat()
            if run.stop.reason:
                raise run.stop.reason

    def _make_room(self, needed: int, job: str) -> None:
        removed = make_room(
            self.catalogue,
            needed,
            quota_bytes=int(self.parameters.number("storage.quota_bytes")),
            disk_bytes=self.free_bytes() - int(self.parameters.number("storage.reserve_bytes")),
            keep_job=job,
            under_transfer=self.under_transfer(),
        )
        for product in removed:
            message = f"{product.product} ({product.state.value}) made room for {job}"
            self.event("PRODUCT_REMOVED", message, product=product.product, job=product.job)

    # --- Its end -----------------------------------------------------------------------------

    def _complete(self, run: JobRun, outcome: tuple[ProcessedScene, CloudFraction]) -> None:
        processed, fraction = outcome
        job, clear = run.job, 1 - fraction.contaminated
        products = [
            NewProduct(
                kind=file.product,  # type: ignore[arg-type]
                path=processed.products.folder / file.name,
                size=file.bytes,
                sha256=file.sha256,
                clear=clear,
            )
            for file in processed.products.files
        ]

        def record() -> None:
            with self.state.transaction():
                self.jobs.end(job.id, JobState.COMPLETED, self.clock())
                stored = self.catalogue.add(job.id, products, self.clock())
                result = SceneResult(
                    job=job.id,
                    scene=job.request.scene,
                    contaminated=fraction.contaminated,
                    valid_pixels=fraction.valid_pixels,
                    seconds=self.monotonic() - run.started,
                    model=fraction.model,
                    products=tuple(product.product for product in stored),
                )
                self.report(job.telecommand, Stage.COMPLETED, data=_fields(result))

        self._settle(record)
        self.publish("sci.cloud_fraction", fraction)
        message = f"{job.id}: {fraction.contaminated:.1%} contaminated, {len(products)} products"
        self.event("JOB_COMPLETED", message, job=job.id)

    def _stopped(self, job: Job, reason: FlightError) -> None:
        if isinstance(reason, JobCancelled):
            self._end(job, JobState.CANCELLED, Stage.CANCELLED, Code.CANCELLED, reason.cause)
        elif isinstance(reason, DeadlinePassed):
            code = Code.DEADLINE_PASSED
            self._end(job, JobState.TIMED_OUT, Stage.TIMED_OUT, code, reason.cause)
        else:
            self._requeue(job, reason.cause, counts=False)

    def _wait_for_room(self, job: Job, full: DiskFull) -> None:
        """The disk itself is full: SAFE.  The quota alone: jobs wait until something went down."""
        self._requeue(job, full.cause, counts=False)
        self.patience.until = self.monotonic() + _ROOM_SECONDS
        if self.free_bytes() < self.parameters.number("storage.reserve_bytes"):
            self.event("DISK_FULL", str(full))
            self.modes.unsafe(SafeReason.DISK_FULL, full.cause)
        else:
            self.event("QUOTA_REACHED", str(full), job=job.id)

    def _try_again(self, job: Job, error: EngineError) -> None:
        if job.attempts < self.parameters.number("processing.attempts"):
            self._requeue(job, str(error), counts=True)
        else:
            self._failed(job, failure_code(error), f"{error.subject}: {error.cause}", error.cure)

    def _requeue(self, job: Job, why: str, *, counts: bool) -> None:
        with self.state.transaction():
            after = self.jobs.requeue(job.id, self.clock(), counts=counts)
            if after.state.ended:
                self.report(
                    job.telecommand, Stage.CANCELLED, code=Code.CANCELLED, cause=after.cause
                )
        self.event("JOB_REQUEUED", f"{job.id}: {why}", job=job.id, state=after.state.value)

    def _failed(self, job: Job, code: Code, cause: str, cure: str) -> None:
        self._end(job, JobState.FAILED, Stage.FAILED, code, cause, cure)

    def _end(
        self, job: Job, state: JobState, stage: Stage, code: Code, cause: str, cure: str = ""
    ) -> None:
        with self.state.transaction():
            self.jobs.end(job.id, state, self.clock(), code, cause)
            self.report(job.telecommand, stage, code=code, cause=cause, cure=cure)
        self.event("JOB_FAILED", f"{job.id}: {state.value}, {cause}", job=job.id, code=code.value)

    def _settle(self, record: Callable[..., None], *told: object) -> None:
        """Record an end, as soon as the state can be written.

        Where it cannot before the service stops the job is found RUNNING at boot, and runs again.
        """
        told_of_it = False
        while True:
            try:
                return record(*told)
            except StateUnavailable as error:
                if not told_of_it:
                    told_of_it = True
                    self.event("DISK_FULL", str(error))
                    self.modes.unsafe(SafeReason.DISK_FULL, error.cause)
                self.heartbeat()
                if self.patience.stopping.wait(_STATE_SECONDS):
                    return None


def _cloud_fraction(
    job: Job, chain: ProcessingChain, processed: ProcessedScene, fractions: FractionMap
) -> CloudFraction:
    scene, summary, cells = processed.scene, processed.summary, fractions.values()
    return CloudFraction(
        job=job.id,
        scene=scene.name,
        model=chain.info.model_id,
        engine=chain.info.device,
        ground_sample_distance=scene.ground_sample_distance,
        height=scene.height,
        width=scene.width,
        valid_pixels=summary.valid_pixels,
        contaminated=summary.contaminated_share,
        fractions={
            name: count / summary.valid_pixels for name, count in summary.pixels_by_class.items()
        },
        rows=cells.shape[0],
        columns=cells.shape[1],
        tile_map=cells.tobytes(),
        seconds=summary.seconds,
        inference_seconds=summary.inference_seconds,
        stages_ms={name: _fields(timing) for name, timing in summary.stages.items()},
        energy_j=summary.energy_joules,
    )


def _fields(record: msgspec.Struct) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(record)
    return fields
