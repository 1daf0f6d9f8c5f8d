"""CANCEL_JOB closes with the job that it cancels, whatever becomes of the job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from flightsw.commanding.context import Deferred, Outcome, TelecommandContext
from flightsw.commanding.parameters import ParameterStore
from flightsw.downlink.catalogue import ProductCatalogue
from flightsw.errors import DeadlinePassed, Interrupted, JobCancelled
from flightsw.fdir.modes import ModeMachine
from flightsw.jobs.outcome import JobOutcomes, RetryAfter
from flightsw.jobs.queue import Job, JobQueue
from flightsw.products.contents import Experience
from flightsw.telemetry.reporting import ServicePorts
from telecommands.dictionary import CancelJob, CloudFraction, Code, JobState, ProcessScene
from tests.unit.flightsw.commanding.harness import Harness, stage_texts

_LOOKED_AT = 0.97
_FRACTION = CloudFraction(
    job="job", scene="a", model="m", engine="dimc", ground_sample_distance=10, height=1, width=1,
    valid_pixels=1, contaminated=0.0, fractions={}, rows=1, columns=1, tile_map=b"\0",
    seconds=1.0, inference_seconds=1.0, stages_ms={}, energy_j=None,
)  # fmt: skip


class _RunningJob:
    """A job that runs, and CANCEL_JOB as the service answers it."""

    def __init__(self, folder: Path) -> None:
        self.harness = Harness(folder)
        self.events: list[tuple[str, dict[str, object]]] = []
        self.jobs = JobQueue(self.harness.state, "sat-a", lambda: 10)
        self.harness.handle({ProcessScene.NAME: self._process, CancelJob.NAME: self._cancel})
        self.harness.send("PROCESS_SCENE", {"scene": "a.SAFE"}, "process")
        job = self.jobs.next(1)
        assert job
        self.job = job
        self.outcomes = JobOutcomes(
            state=self.harness.state,
            jobs=self.jobs,
            catalogue=ProductCatalogue(self.harness.state),
            parameters=ParameterStore(self.harness.state, lambda *_: None),
            modes=ModeMachine(),
            ports=ServicePorts(
                self.harness.dispatcher.report,
                lambda name, *_, **fields: self.events.append((name, fields)),
                lambda: None,
                lambda: 2,
                float,
            ),
            free_bytes=lambda: 1 << 40,
            retry=RetryAfter(),
            unclosed=self.harness.ledger.unclosed,
        )

    def stages(self, telecommand: str) -> list[str]:
        return stage_texts(self.harness.known(telecommand))

    def _process(self, request: ProcessScene, context: TelecommandContext) -> Outcome:
        return Deferred({"job": self.jobs.add(context.reference, request, 1).id})

    def _cancel(self, request: CancelJob, _: TelecommandContext) -> Outcome:
        self.jobs.cancel(request.job, 1)
        return Deferred({"job": request.job})


@pytest.fixture
def running(tmp_path: Path) -> Iterator[_RunningJob]:
    one = _RunningJob(tmp_path)
    yield one
    one.harness.state.close()


def _cancelled(outcomes: JobOutcomes, job: Job) -> None:
    outcomes.stopped(job, JobCancelled("the job", "was cancelled by telecommand"))


def _interrupted(outcomes: JobOutcomes, job: Job) -> None:
    outcomes.stopped(job, Interrupted("the job", "was interrupted: the mode is SAFE"))


def _too_late(outcomes: JobOutcomes, job: Job) -> None:
    outcomes.stopped(job, DeadlinePassed("the job", "did not end before its deadline"))


def _failed(outcomes: JobOutcomes, job: Job) -> None:
    outcomes.failed(job, Code.CORRUPT_IMAGE, "the scene is damaged", "Fetch it again")


def _completed(
    outcomes: JobOutcomes,
    job: Job,
    fraction: CloudFraction = _FRACTION,
    experience: Experience | None = None,
) -> None:
    published = SimpleNamespace(
        folder=Path("products"),
        files=(),
        report=SimpleNamespace(summary=SimpleNamespace(remarks=(), experience=experience)),
    )
    outcomes.completed(job, published, fraction, 1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("end", "stages"),
    [
        (_cancelled, ["ACCEPTED", "STARTED", "COMPLETED"]),
        (_interrupted, ["ACCEPTED", "STARTED", "COMPLETED"]),
        (_too_late, ["ACCEPTED", "STARTED", "FAILED JOB_ENDED"]),
        (_failed, ["ACCEPTED", "STARTED", "FAILED JOB_ENDED"]),
        (_completed, ["ACCEPTED", "STARTED", "FAILED JOB_ENDED"]),
    ],
)
def test_cancelling_closes_when_the_job_has_ended_and_says_whether_it_was_stopped(
    running: _RunningJob, end: Callable[[JobOutcomes, Job], None], stages: list[str]
) -> None:
    for cancellation in ("first", "second"):
        running.harness.send("CANCEL_JOB", {"job": running.job.id}, cancellation)
        assert running.stages(cancellation) == ["ACCEPTED"]
    end(running.outcomes, running.job)
    assert running.stages("first") == running.stages("second") == stages
    assert running.harness.ledger.unclosed() == []


def test_the_end_of_a_job_closes_no_cancellation_of_another(running: _RunningJob) -> None:
    running.harness.send("PROCESS_SCENE", {"scene": "b.SAFE"}, "other")
    other = running.jobs.next(1)
    assert other
    running.harness.send("CANCEL_JOB", {"job": other.id}, "cancel-other")
    _failed(running.outcomes, running.job)
    assert running.stages("cancel-other") == ["ACCEPTED"]


def test_a_cancellation_survives_a_power_cut_and_closes_at_boot(
    running: _RunningJob,
) -> None:
    running.harness.send("CANCEL_JOB", {"job": running.job.id}, "cancel")
    recovered = running.jobs.recover(3, 2)
    assert [job.id for job in recovered.cancelled] == [running.job.id]
    running.outcomes.close_cancellations(running.job.id)
    assert running.stages("cancel") == ["ACCEPTED", "STARTED", "COMPLETED"]


def test_a_scene_that_ended_after_a_first_look_completes_its_job_with_a_code_and_once(
    running: _RunningJob,
) -> None:
    stopped = msgspec.structs.replace(_FRACTION, contaminated=0.99, at_least=_LOOKED_AT)
    running.harness.send("PROCESS_SCENE", {"scene": "b.SAFE", "stop_above": 0.9}, "triage")
    job = running.jobs.next(1)
    assert job
    assert job.request.stop_above == 0.9
    _completed(running.outcomes, job, stopped)
    record = running.jobs.record(job.id)
    assert (record.state, record.code) == (JobState.COMPLETED, Code.STOPPED_ABOVE)
    assert record.cause.endswith("at least 97.0% contaminated, and stop_above is 90.0%")
    assert running.stages("triage")[-1] == "COMPLETED STOPPED_ABOVE"
    running.jobs.recover(3, 2)
    assert running.jobs.record(job.id) == record
    assert running.jobs.waiting(3) != job


def test_a_job_with_stop_above_waits_again_with_it_after_a_power_cut(running: _RunningJob) -> None:
    running.harness.send("PROCESS_SCENE", {"scene": "b.SAFE", "stop_above": 0.9}, "triage")
    job = running.jobs.next(1)
    assert job
    (_, again) = running.jobs.recover(3, 2).requeued
    assert (again.id, again.request.stop_above) == (job.id, 0.9)


@pytest.mark.parametrize(("distance", "reported"), [(1.25, True), (0.75, False), (None, False)])
def test_only_a_scene_outside_the_experience_is_an_event(
    running: _RunningJob, distance: float | None, reported: bool
) -> None:
    found = None
    if distance is not None:
        found = Experience(distance, distance > 1, towards="sea ice", pixels=9000)
    _completed(running.outcomes, running.job, experience=found)
    events = [fields for name, fields in running.events if name == "OUTSIDE_EXPERIENCE"]
    assert events == ([{"job": running.job.id, "distance": 1.25}] if reported else [])
