"""Real-time priority, on this machine as it is: root may have it, others up to their limit."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flightsw.config import DimcSettings, PipelineSettings
from flightsw.dimc.simulator.instance import ModelInstance
from flightsw.engines.dimc.engine import open_dimc_engine
from flightsw.host.real_time import allows_real_time, real_time
from flightsw.model.package import load_package
from flightsw.pipeline import process_scene
from flightsw.pipeline.stages import Stages
from tests.unit.flightsw.small_parts import ArrayScene

PRIORITY = 3
NOBODY = 65_534
needs_permission = pytest.mark.skipif(
    not allows_real_time(10), reason="this machine allows no real-time priority"
)
TELL_AS_NOBODY = f"""
import os, resource
from flightsw.host.real_time import allows_real_time, real_time
resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
with real_time(3) as allowed:
    print(allowed, allows_real_time(3), allows_real_time(0))
"""


def policy() -> tuple[int, int]:
    return os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK, os.sched_getparam(0).sched_priority


@needs_permission
def test_the_thread_is_ordinary_again_afterwards_even_after_an_error() -> None:
    def fail() -> None:
        with real_time(PRIORITY) as allowed:
            assert allowed
            assert policy() == (os.SCHED_RR, PRIORITY)
            raise ValueError("in between")

    with pytest.raises(ValueError, match="in between"):
        fail()
    assert policy() == (os.SCHED_OTHER, 0)


@needs_permission
def test_other_threads_and_those_it_starts_stay_ordinary() -> None:
    found = []
    with real_time(PRIORITY):
        thread = threading.Thread(target=lambda: found.append(policy()))
        thread.start()
        thread.join(10)
    assert found == [(os.SCHED_OTHER, 0)]


def test_priority_0_changes_nothing() -> None:
    with real_time(0) as allowed:
        assert not allowed
        assert policy() == (os.SCHED_OTHER, 0)
    assert allows_real_time(0)


@needs_permission
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_thread_without_privileges_becomes_ordinary_again() -> None:
    """As in a systemd unit: ``LimitRTPRIO=`` lets it up, no capability lets flags go."""
    script = f"""
import os
from flightsw.host.real_time import real_time
with real_time(3) as allowed:
    os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
print(allowed, os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_OTHER)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["True", "True"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_where_it_is_not_allowed_the_work_is_done_all_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TELL_AS_NOBODY],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["False", "False", "True"]


@needs_permission
def test_only_the_stage_that_asks_for_it_has_it() -> None:
    def policies() -> Iterator[tuple[int, int]]:
        yield policy()

    with Stages(stall_seconds=20) as stages:
        assert list(stages.run("ordinary", policies(), 1)) == [(os.SCHED_OTHER, 0)]
        urgent = stages.run("urgent", policies(), 1, priority=PRIORITY)
        assert list(urgent) == [(os.SCHED_RR, PRIORITY)]


@needs_permission
@pytest.mark.parametrize("priority", [0, 10])
def test_the_thread_that_drives_the_card_has_the_priority_of_the_settings(
    monkeypatch: pytest.MonkeyPatch, small_package: Path, priority: int
) -> None:
    found = set()
    run = ModelInstance.run

    def observed(self: ModelInstance, *arguments: object) -> object:
        found.add(policy())
        return run(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ModelInstance, "run", observed)
    settings = DimcSettings(card="simulator", thread_priority=priority)
    numbers = np.full((4, 300, 300), 3000, np.uint16)
    with open_dimc_engine(load_package(small_package), settings) as engine:
        process_scene(ArrayScene(numbers), engine, PipelineSettings())
    assert found == {(os.SCHED_RR, priority) if priority else (os.SCHED_OTHER, 0)}
