"""One job from its start to its recorded end."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import msgspec
import structlog

from flightsw.chain import ProcessedScene, SceneProcessor, SceneRequest
from flightsw.commanding.parameters import ParameterStore
from flightsw.commanding.verification import failure_code
from flightsw.downlink.catalogue import ProductCatalogue
from flightsw.downlink.storage import make_room
from flightsw.errors import (
    DeadlinePassed,
    DiskFull,
    EngineError,
    FlightError,
    Interrupted,
    JobCancelled,
)
from flightsw.host.confinement import confined
from flightsw.host.disk import disk_errors, make_folder
from flightsw.jobs.outcome import JobOutcomes
from flightsw.jobs.queue import Job, JobQueue
from flightsw.jobs.requested_area import requested_area
from flightsw.model.golden import GoldenReport
from flightsw.pipeline.governor import PauseLog
from flightsw.pipeline.stages import StopSignal
from flightsw.pipeline.triage import FirstLook
from flightsw.products.contents import RowSink
from flightsw.products.fraction_map import FractionMap
from flightsw.scene.tiling import Grid
from flightsw.telemetry.reporting import ServicePorts
from telecommands.dictionary import (
    CloudFraction,
    Code,
    Progress,
    Record,
    Stage,
    Topic,
)
from telecommands.refusal import Refusal

_log: Final = structlog.get_logger(__name__)

_COOLING_SECONDS: Final = 1.0


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
        """End the job: a telecommand asked for it."""
        self.stop.request(JobCancelled("the job", "was cancelled by telecommand"))

    def interrupt(self, why: str) -> None:
        """Stop the job; it waits for its turn again."""
        self.stop.request(Interrupted("the job", f"was interrupted: {why}"))

    def check_deadline(self, monotonic: float) -> None:
        """Stop the job if its deadline has passed."""
        if self._ends_at is not None and monotonic > self._ends_at:
            self.stop.request(DeadlinePassed("the job", "did not end before its deadline"))


class EngineAccess(Protocol):
    """The engine, as a job needs it (:class:`flightsw.jobs.worker.Processing`)."""

    @property
    def chain(self) -> _Chain:
        """The chain of the active model."""
        ...

    def check_engine(self) -> GoldenReport | None:
        """Run the golden tiles; SAFE mode if they fail."""
        ...


class _Chain(Protocol):
    def ready(self) -> SceneProcessor: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class JobRunner:
    """Carries jobs out, one at a time, in one thread.

    ``free_bytes`` gives the free bytes of the products' disk, ``under_transfer`` the products that
    a receiver asked for; ``cool`` is set while work may continue, ``pauses`` gets how long it
    could not.
    """

    outcomes: JobOutcomes
    jobs: JobQueue
    catalogue: ProductCatalogue
    parameters: ParameterStore
    scene_root: Path
    products: Path
    ports: ServicePorts
    publish: Callable[[Topic, Record], None]
    free_bytes: Callable[[], int]
    under_transfer: Callable[[], Collection[str]]
    cool: threading.Event
    pauses: PauseLog

    def carry_out(self, run: JobRun, engine: EngineAccess) -> None:
        """Run a job to its end, or back into the queue; raises nothing that a job can cause."""
        job, outcomes = run.job, self.outcomes
        outcomes.begun(job)
        try:
            processed, fraction = self._process(run, engine)
            outcomes.completed(
                job, processed.products, fraction, self.ports.monotonic() - run.started
            )
            self.publish("sci.cloud_fraction", fraction)
        except Interrupted as interruption:
            outcomes.stopped(job, run.stop.reason or interruption)
        except DiskFull as full:
            outcomes.found_no_room(job, full)
        except EngineError as error:
            engine.chain.close()
            outcomes.engine_failed(job, error)
            engine.check_engine()
        except FlightError as error:
            outcomes.failed(job, failure_code(error), error.sentence, error.cure)
        except Refusal as refusal:
            outcomes.failed(job, refusal.code, refusal.cause, refusal.cure)
        except Exception as fault:  # noqa: BLE001 - whatever a scene does, the service lives
            _log.error("job failed", job=job.id, exc_info=fault)
            self.ports.event(
                "INTERNAL_FAULT", f"{job.id} failed with {type(fault).__name__}", job=job.id
            )
            outcomes.failed(
                job, Code.INTERNAL, Code.INTERNAL.doc, "See the service log, and report the fault"
            )

    def _process(self, run: JobRun, engine: EngineAccess) -> tuple[ProcessedScene, CloudFraction]:
        request = run.job.request
        confined(self.scene_root, request.scene)
        shutil.rmtree(self.products / run.job.id, ignore_errors=True)  # of an attempt cut short
        chain = engine.chain.ready()
        if self.parameters.value("processing.self_test"):
            report = engine.check_engine()
            if report is None or not report.passed:
                raise Interrupted("the job", "was interrupted: the engine failed its self-test")
        if run.stop.reason:
            raise run.stop.reason
        fractions: list[FractionMap] = []

        def begun(grid: Grid, bytes_needed: int) -> Sequence[RowSink]:
            self.jobs.suspects.decodes_nothing_ahead()  # what was begun is this scene, or was left
            self._make_room(bytes_needed, run.job.id)
            fractions.append(FractionMap(grid.rows, grid.columns, grid.stride))
            return fractions[-1:]

        with disk_errors(self.products):
            make_folder(self.products)
        processed = chain.process(
            self._scene_request(run.job),
            self._progress(run),
            begun=begun,
            upcoming=lambda: self._upcoming(run.job),
            looked=lambda look: self._looked(run.job, look),
            stop=run.stop,
        )
        if processed.scene.integrity != "verified":
            message = f"{processed.scene.name}: {processed.scene.integrity_doubt}"
            self.ports.event("INTEGRITY_UNKNOWN", message, job=run.job.id)
        return processed, _cloud_fraction(run.job, processed, fractions[-1])

    def _looked(self, job: Job, look: FirstLook) -> None:
        message = (
            f"the first look at {job.request.scene} of {job.id} estimates {look.estimate:.1%}"
            f" contaminated (at least {look.least:.1%}); stop_above is {job.request.stop_above:.1%}"
        )
        shares = {"estimate": look.estimate, "at_least": look.least}
        self.ports.event("CLOUD_ESTIMATED", message, job=job.id, **shares)

    def _scene_request(self, job: Job) -> SceneRequest:
        request = job.request
        return SceneRequest(
            scene=confined(self.scene_root, request.scene),
            out=self.products / job.id,
            products=frozenset(request.products),
            ground_sample_distance=request.ground_sample_distance,
            offset=request.offset,
            scale=request.scale,
            nodata=request.nodata,
            file_bands=request.bands,
            tile=request.tile,
            area=requested_area(request),
            fusion=request.fusion or self.parameters.text("processing.fusion"),  # type: ignore[arg-type]
            threshold_percent=request.threshold_percent,
            buffer_m=request.buffer_m,
            decode=request.decode,
            stop_above=request.stop_above,
            engine=None if request.engine == "auto" else request.engine,
            least_integrity=self.parameters.text("processing.least_integrity"),  # type: ignore[arg-type]
            within=self.scene_root,
            overwrite=True,  # the folder is the job's own, and may hold an interrupted attempt
        )

    def _upcoming(self, running: Job) -> SceneRequest | None:
        """The scene whose turn is next, as far as is known now; whose it is, is on record."""
        job = self.jobs.waiting(self.ports.clock())
        if job is None:
            return None
        try:
            request = self._scene_request(job)
        except Refusal:
            return None  # it fails when its turn comes, on its own record
        return request if self.jobs.suspects.decodes_ahead(job.id, beside=running.id) else None

    def _progress(self, run: JobRun) -> Callable[[int, int], None]:
        last = -1.0

        def report(done: int, rows: int) -> None:
            nonlocal last
            self._wait_until_cool(run)
            self.ports.heartbeat()
            now = self.ports.monotonic()
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
            self.ports.report(run.job.telecommand, Stage.PROGRESS, step=done, of=rows)

        return report

    def _wait_until_cool(self, run: JobRun) -> None:
        """Rows wait here, so the queues fill and the card rests."""
        while not self.cool.is_set():
            began = self.ports.monotonic()
            self.cool.wait(_COOLING_SECONDS)
            self.pauses.add("temperature", began, self.ports.monotonic())
            self.ports.heartbeat()
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
            message = (
                f"{product.product} ({product.state.value}) was removed to make room for {job}"
            )
            self.ports.event("PRODUCT_REMOVED", message, product=product.product, job=product.job)


def _cloud_fraction(job: Job, processed: ProcessedScene, fractions: FractionMap) -> CloudFraction:
    scene, summary, cells = processed.scene, processed.summary, fractions.values()
    known = summary.experience
    return CloudFraction(
        job=job.id,
        scene=scene.name,
        integrity=scene.integrity,
        decode=scene.decode,
        largest_error_dn=scene.largest_error,
        at_least=None if processed.stopped_at is None else processed.stopped_at.least,
        model=processed.engine.model_id,
        engine=processed.engine.device,
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
        stages_ms={name: msgspec.to_builtins(one) for name, one in summary.stages.items()},
        energy_j=summary.energy_joules,
        paused_s=summary.paused_seconds,
        experience_distance=known.distance if known else None,
        outside_experience=known.outside if known else None,
    )
