"""A scene whose decode kills the process: it fails, and the scenes around it do not."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import Any

from deploy.rig.flight_unit import FlightUnit, wait_until
from deploy.rig.forked import flight_unit
from tests.conftest import Simulated

_PROJECT = Path(__file__).resolve().parents[2]

_POISON = """
    import ctypes
    from flightsw.scene import jp2

    sound = jp2.Jp2Band.read_area

    def read_area(self, *args):
        if "poison" in str(self.path):
            ctypes.string_at(0)
        sound(self, *args)

    jp2.Jp2Band.read_area = read_area
"""
_COMPLETED = ("COMPLETED", None, 1)
_SLOW_CARD = "[dimc.twin]\nlatency_ms = 100.0\n"  # so that a scene runs while the next is decoded


def _poisoned(folder: Path) -> dict[str, str]:
    """Environment of a daemon in which a decode of a poison scene ends the process."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(textwrap.dedent(_POISON))
    return {"PYTHONPATH": os.pathsep.join((str(folder), str(_PROJECT)))}


def _add_scenes(unit: FlightUnit, product: Path, *names: str) -> list[str]:
    """The product once for each name, in a folder of that name."""
    added = []
    for name in names:
        unit.scenes = unit.folder / "scenes" / name
        added.append(f"{name}/{unit.add_scene(product)}")
    return added


def _send(unit: FlightUnit, name: str, **args: Any) -> str:
    """Send a telecommand and wait until it is accepted; its job, if it makes one."""
    with unit.client() as client:
        accepted = next(client.stages(client.send(name, args), 60))
    return str(accepted.data.get("job", ""))


def _run_to_the_end(unit: FlightUnit, environ: dict[str, str], scenes: list[str]) -> list[str]:
    """Queue the scenes, restart the daemon whenever it dies; the jobs in the order of scenes."""
    unit.start(environ=environ)
    unit.execute("SET_MODE", mode="STANDBY")
    jobs = [_send(unit, "PROCESS_SCENE", scene=one, products=["geotiff"]) for one in scenes]
    _send(unit, "SET_MODE", mode="OPERATIONAL")
    while not _ended(unit) >= {*jobs}:
        wait_until(lambda: _is_dead(unit) or _ended(unit) >= {*jobs}, 120)
        if _is_dead(unit):
            unit.wait_for_end()
            unit.start(environ=environ)
    return jobs


def _is_dead(unit: FlightUnit) -> bool:
    return unit.process is None or unit.process.poll() is not None


def _ended(unit: FlightUnit) -> set[str]:
    ends = (*unit.events("JOB_COMPLETED"), *unit.events("JOB_FAILED"))
    return {one["fields"]["job"] for one in ends}


def _ends(unit: FlightUnit, jobs: list[str]) -> list[tuple[str, str | None, int]]:
    """State, code and attempts of each job."""
    found = {one["job"]: one for one in unit.execute("LIST_JOBS").data["jobs"]}
    return [(one["state"], one["code"], one["attempts"]) for one in map(found.get, jobs) if one]


def test_a_scene_that_crashes_its_decoder_fails_and_the_service_lives(
    tmp_path: Path, simulated: Simulated, small_package: Path
) -> None:
    with flight_unit(tmp_path / "unit", lines=_SLOW_CARD, package=small_package) as unit:
        environ = _poisoned(tmp_path / "hook")
        scenes = _add_scenes(unit, simulated.scene, "good", "poison", "other")
        jobs = _run_to_the_end(unit, environ, scenes)
        assert _ends(unit, jobs) == [_COMPLETED, ("FAILED", "DECODER_FAILED", 1), _COMPLETED]
        assert len(unit.events("SERVICE_STARTED")) == 1
        (event,) = unit.events("JOB_FAILED")
        assert event["fields"] == {"job": jobs[1], "code": "DECODER_FAILED"}
        assert f"{scenes[1]} crashed its decoder (Segmentation fault)" in event["message"]
        assert "read_area" in unit.events("a decoder crashed")[-1]["output"]


def test_a_scene_that_crashes_the_service_fails_and_the_scenes_around_it_complete(
    tmp_path: Path, simulated: Simulated, small_package: Path
) -> None:
    with flight_unit(tmp_path / "unit", lines=_SLOW_CARD, package=small_package) as unit:
        settings = unit.settings.read_text()
        in_process = settings.replace("[service]\n", "[service]\nconfined_decoders = false\n", 1)
        unit.settings.write_text(in_process)
        environ = _poisoned(tmp_path / "hook")
        scenes = _add_scenes(unit, simulated.scene, "good", "poison", "other")
        jobs = _run_to_the_end(unit, environ, scenes)
        failed = ("FAILED", "SERVICE_CRASHED", 2)
        assert _ends(unit, jobs) == [_COMPLETED, failed, _COMPLETED]
        assert unit.execute("PING").data["mode"] == "OPERATIONAL"
        deaths = [one["fields"] for one in unit.events("UNCLEAN_RESTART")]
        assert [one["suspects"] for one in deaths] == [jobs[:2], jobs[1:2], jobs[1:2]]
        assert {one["signal"] for one in deaths} == {"Segmentation fault"}
        (event,) = unit.events("JOB_FAILED")
        assert (event["fields"]["job"], event["fields"]["code"]) == (jobs[1], "SERVICE_CRASHED")
        assert "read_area" in unit.events("the previous run crashed")[-1]["stacks"]
        assert "read_area" in (unit.state / "crash-last.txt").read_text()
