from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flightsw.config import DimcSettings, Settings
from flightsw.errors import Interrupted, JobCancelled
from flightsw.fdir.modes import ModeMachine
from flightsw.jobs.queue import Job, JobQueue
from flightsw.jobs.runner import JobRun
from flightsw.jobs.worker import ActiveChain, Processing
from flightsw.state import StateFile
from flightsw.telemetry.reporting import ReportEvent, ServicePorts
from telecommands.dictionary import Mode, ProcessScene


class _QueueThatIsOvertaken(JobQueue):
    """Something happens between a job's turn and its start."""

    meanwhile: Any = None

    def next(self, now_ns: int, may_start: Callable[[], bool] = lambda: True) -> Job | None:
        job = super().next(now_ns, may_start)
        if job:
            self.meanwhile(job)
        return job


def _processing(
    package: Path, jobs: JobQueue, runner: SimpleNamespace, modes: ModeMachine, event: ReportEvent
) -> Processing:
    settings = Settings(model=package, dimc=DimcSettings(card="simulator"))
    return Processing(
        ActiveChain(settings, lambda: None),
        jobs,
        runner,  # type: ignore[arg-type]
        modes,
        ServicePorts(lambda *_, **__: None, event, lambda: None, lambda: 1, time.monotonic),
    )


@pytest.mark.parametrize("what", ["cancelled", "mode"])
def test_what_overtakes_the_start_of_a_job_still_stops_it(
    tmp_path: Path, small_package: Path, what: str
) -> None:
    modes = ModeMachine()
    with StateFile(tmp_path) as state:
        jobs = _QueueThatIsOvertaken(state, "sat-a", lambda: 10)

        def overtake(job: Job) -> None:
            if what == "cancelled":
                jobs.cancel(job.id, 2)
            else:
                modes.request(Mode.SAFE)

        jobs.meanwhile = overtake
        jobs.add("sent", ProcessScene(scene="a.SAFE"), 1)
        ran: list[JobRun] = []
        done = threading.Event()

        def carry_out(run: JobRun, _engine: object) -> None:
            ran.append(run)
            done.set()

        outcomes = SimpleNamespace(waiting_for_room=False)
        runner = SimpleNamespace(outcomes=outcomes, carry_out=carry_out)
        processing = _processing(small_package, jobs, runner, modes, lambda *_, **__: None)
        processing.start()
        assert done.wait(60)
        assert processing.stop()
    reason = ran[0].stop.reason
    assert isinstance(reason, JobCancelled if what == "cancelled" else Interrupted)
    assert isinstance(reason, JobCancelled) == (what == "cancelled")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't start new thread")])
def test_memory_that_ends_while_the_engine_is_checked_leads_to_safe_mode(
    tmp_path: Path, small_package: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    reported: list[tuple[str, dict[str, Any]]] = []
    modes = ModeMachine()
    modes.ready()
    with StateFile(tmp_path) as state:
        processing = _processing(
            small_package,
            JobQueue(state, "sat-a", lambda: 10),
            SimpleNamespace(),
            modes,
            lambda name, _text, **fields: reported.append((name, fields)),
        )

        def exhausted(*_: object) -> None:
            raise error

        with monkeypatch.context() as patched:
            patched.setattr("flightsw.engines.fallback.check_golden_tiles", exhausted)
            assert processing.check_engine() is None
        assert modes.mode is Mode.SAFE
        assert reported == [("ENGINE_UNAVAILABLE", {"code": "MEMORY_EXHAUSTED"})]
        report = processing.check_engine()
        assert report
        assert report.passed
        assert modes.request(Mode.OPERATIONAL) is Mode.OPERATIONAL
        processing.chain.close()


@pytest.mark.parametrize("fault", [ImportError("libonnx.so is absent"), ValueError("unforeseen")])
def test_an_unforeseen_fault_of_the_self_test_leads_to_safe_mode(
    tmp_path: Path, small_package: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def fail(*_: object) -> None:
        raise fault

    reported: list[str] = []
    modes = ModeMachine()
    modes.ready()
    monkeypatch.setattr("flightsw.engines.fallback.check_golden_tiles", fail)
    with StateFile(tmp_path) as state:
        queue = JobQueue(state, "sat-a", lambda: 10)
        processing = _processing(
            small_package,
            queue,
            SimpleNamespace(),
            modes,
            lambda name, *_, **__: reported.append(name),
        )
        assert processing.check_engine() is None
        assert processing.device_state == "failed"
    assert reported == ["INTERNAL_FAULT"]
    assert modes.mode is Mode.SAFE
