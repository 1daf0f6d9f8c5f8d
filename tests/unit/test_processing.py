from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flightsw.config import DimcSettings, Settings
from flightsw.errors import Interrupted, JobCancelled
from flightsw.fdir.modes import ModeMachine
from flightsw.job_run import JobRun
from flightsw.jobs import Job, JobQueue
from flightsw.processing import FlightChain, Processing
from flightsw.state import StateFile
from telecommands.dictionary import Mode, ProcessScene


class _QueueThatIsOvertaken(JobQueue):
    """Something happens between a job's turn and its start."""

    meanwhile: Any = None

    def next(self, now_ns: int) -> Job | None:
        job = super().next(now_ns)
        if job:
            self.meanwhile(job)
        return job


@pytest.mark.parametrize("what", ["cancelled", "mode"])
def test_what_overtakes_the_start_of_a_job_still_stops_it(tmp_path: Path, what: str) -> None:
    modes = ModeMachine()
    with StateFile(tmp_path) as state:
        jobs = _QueueThatIsOvertaken(state, lambda: 10)

        def overtake(job: Job) -> None:
            if what == "cancelled":
                jobs.cancel(job.id, 2)
            else:
                modes.request(Mode.SAFE)

        jobs.meanwhile = overtake
        jobs.add("sent", ProcessScene(scene="a.SAFE"), 1)
        ran: list[JobRun] = []
        done = threading.Event()

        def carry_out(run: JobRun, _bench: object) -> None:
            ran.append(run)
            done.set()

        ends = SimpleNamespace(waiting_for_room=False)
        processing = Processing(
            FlightChain(Settings(dimc=DimcSettings(card="simulator")), lambda: None),
            jobs,
            SimpleNamespace(ends=ends, carry_out=carry_out),  # type: ignore[arg-type]
            modes,
            report=lambda *_, **__: None,
            event=lambda *_, **__: None,
            heartbeat=lambda: None,
            clock=lambda: 1,
            monotonic=time.monotonic,
        )
        processing.start()
        assert done.wait(60)
        assert processing.stop()
    reason = ran[0].stop.reason
    assert isinstance(reason, JobCancelled if what == "cancelled" else Interrupted)
    assert isinstance(reason, JobCancelled) == (what == "cancelled")
