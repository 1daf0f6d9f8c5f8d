"""One job from its start to its end: what it does while the card is too hot."""

from __future__ import annotations

import threading
from itertools import count
from types import SimpleNamespace

import pytest

from flightsw.errors import JobCancelled
from flightsw.jobs import runner as running
from flightsw.jobs.runner import JobRun, JobRunner
from flightsw.pipeline.governor import PauseLog
from telecommands.dictionary import ProcessScene


def _runner(cool: threading.Event, heartbeat: object) -> tuple[JobRunner, JobRun]:
    seconds = count()
    ports = SimpleNamespace(heartbeat=heartbeat, monotonic=lambda: float(next(seconds)))
    runner = JobRunner(*[None] * 6, ports, *[None] * 3, cool, PauseLog())  # type: ignore[arg-type]
    job = SimpleNamespace(request=ProcessScene(scene="a.SAFE"))
    return runner, JobRun(job, 0, 0.0)  # type: ignore[arg-type]


def test_work_that_waits_for_the_card_to_cool_is_counted_as_paused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(running, "_COOLING_SECONDS", 0)
    cool, beats = threading.Event(), count(1)
    runner, run = _runner(cool, lambda: next(beats) == 3 and cool.set())
    runner._wait_until_cool(run)
    runner._wait_until_cool(run)
    assert runner.pauses.seconds == {"temperature": 3.0, "power": 0.0}


def test_a_job_that_waits_for_the_card_to_cool_can_be_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(running, "_COOLING_SECONDS", 0)
    beats = count(1)
    runner, run = _runner(threading.Event(), lambda: next(beats) == 2 and run.cancel())
    with pytest.raises(JobCancelled):
        runner._wait_until_cool(run)
    assert runner.pauses.total == 2.0
