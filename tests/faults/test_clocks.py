"""Clocks that are absurd at the start, and clocks that jump in mid-work."""

from __future__ import annotations

import random
import time
from datetime import datetime, timezone
from pathlib import Path

from deploy.faults.checker import Limits, check
from deploy.faults.forked_unit import ForkedUnit, forked_unit
from deploy.faults.ground_life import ATTEMPTS, GroundLife
from deploy.faults.laboratory import Laboratory
from deploy.rig.flight_unit import wait_until
from telecommands.dictionary import Stage

_HOUR = 3600
_LIMITS = Limits(attempts=ATTEMPTS)


def _offset_to(year: int) -> float:
    """Seconds from now to an hour after the year's beginning."""
    then = datetime(year, 1, 1, 1, tzinfo=timezone.utc)
    return (then - datetime.now(timezone.utc)).total_seconds()


def _equipped(unit: ForkedUnit, laboratory: Laboratory, folder: Path) -> GroundLife:
    laboratory.equip(unit)
    unit.clock = folder / "clock"
    unit.move_clock(0)
    return GroundLife(unit, [laboratory.scene.name], random.Random(0))


def test_a_service_serves_in_1970_in_2106_beyond_the_last_nanosecond_and_back_in_1970(
    laboratory: Laboratory, tmp_path: Path
) -> None:
    with forked_unit(tmp_path / "unit", package=laboratory.package) as unit:
        life = _equipped(unit, laboratory, tmp_path)
        for year in (1970, 2106, 2290, 1970):
            unit.move_clock(_offset_to(year))
            unit.start(wait=True)
            life.settle()  # a job completes, and its products are received
            assert unit.stop() == 0
        assert check(unit.state, life.record, unit.lines, _LIMITS) == []
        assert len(unit.events("JOB_COMPLETED")) == 4
        assert unit.events("UNCLEAN_RESTART") == []


def test_jumps_of_hours_in_mid_work_run_what_is_due_once_and_close_nothing_early(
    laboratory: Laboratory, tmp_path: Path
) -> None:
    scene = laboratory.scene.name
    with forked_unit(tmp_path / "unit", package=laboratory.package) as unit:
        life = _equipped(unit, laboratory, tmp_path)
        unit.start(wait=True)
        life.execute("OPEN_CONTACT", bytes=10**9, seconds=600)
        inner = {"name": "PROCESS_SCENE", "args": {"scene": scene, "products": ["report"]}}
        due = time.time_ns() + 2 * _HOUR * 10**9
        life.execute("SCHEDULE", at=due, telecommand=inner)
        with unit.client() as client, unit.telemetry("evt") as telemetry:
            deadline = time.time_ns() + _HOUR * 10**9
            sent = client.send("PROCESS_SCENE", {"scene": scene, "deadline": deadline})
            stages = client.stages(sent, 120)
            assert next(stages).stage is Stage.ACCEPTED
            assert next(stages).stage is Stage.STARTED
            unit.move_clock(3 * _HOUR)  # beyond its deadline: running work counts its own seconds
            assert [*stages][-1].stage is Stage.COMPLETED
            wait_until(lambda: len(unit.events("JOB_COMPLETED")) == 2)  # what was scheduled
            wait_until(lambda: unit.events("CLOCK_JUMPED"))  # it is looked for once a second
            unit.move_clock(-6 * _HOUR)
            wait_until(lambda: len(unit.events("CLOCK_JUMPED")) == 2)
            heard = {body.event for _, _, body in telemetry.packets(1)}  # type: ignore[attr-defined]
            assert {"CLOCK_JUMPED", "JOB_COMPLETED"} <= heard
        assert life.execute("LIST_SCHEDULE").data["entries"] == []
        jumps = [one["fields"]["seconds"] for one in unit.events("CLOCK_JUMPED")]
        assert [round(one / _HOUR) for one in jumps] == [3, -9]
        assert unit.execute("PING").data["mode"] == "OPERATIONAL"
        with unit.receiver(tmp_path / "unit" / "received") as receiver:
            assert receiver.receive_next() is not None  # the contact's seconds are not UTC's
        life.settle()
        assert len(unit.events("JOB_COMPLETED")) == 3  # the one of settling: nothing ran again
        assert unit.stop() == 0
        assert check(unit.state, life.record, unit.lines, _LIMITS) == []
