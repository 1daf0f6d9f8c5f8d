"""Damaged state files: the service starts, and nothing is silently wrong.

A sample of the campaign of ``make faults``, with the same code, and a real service on the worst.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deploy.faults.history import ENDINGS, Ending, make_history
from deploy.faults.state_damage import SILENT, damage_once, unnamed_differences
from deploy.rig.forked import flight_unit
from flightsw.state import StateLoss
from telecommands.dictionary import Code, Stage
from tests.conftest import Simulated

_DAMAGES = 100  # for each way in which a run ended


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_damage_is_silently_wrong_or_keeps_the_state_from_opening(
    ending: Ending, tmp_path: Path
) -> None:
    history = make_history(tmp_path, ending, seed=2)
    outcomes = [damage_once(history, tmp_path, seed) for seed in range(_DAMAGES)]
    assert [one for one in outcomes if one["outcome"] in (SILENT, "did not open")] == []
    assert {one["outcome"] for one in outcomes} >= {"unharmed", "restored exactly", "loss named"}


def test_the_judgement_finds_a_row_that_is_missing_without_a_word(tmp_path: Path) -> None:
    history = make_history(tmp_path, "stopped", seed=3)
    found = {table: dict(rows) for table, rows in history.contents.items()}
    found["jobs"].popitem()
    assert "jobs differs" in unnamed_differences(history, found, None)
    assert unnamed_differences(history, found, StateLoss("", lost={"jobs": 1})) == ""


def test_a_service_without_any_state_left_answers_in_safe_mode_and_works_again(
    simulated: Simulated, tmp_path: Path, small_package: Path
) -> None:
    with flight_unit(tmp_path / "unit", package=small_package) as unit:
        scene = unit.add_scene(simulated.scene)
        unit.start()
        assert unit.execute("PROCESS_SCENE", scene=scene).stage is Stage.COMPLETED
        unit.kill()
        for path in unit.state.glob("state.*"):
            path.write_bytes(b"\xff" * 5000)
        unit.start()
        assert unit.execute("PING").data["mode"] == "SAFE"
        assert unit.events("STATE_LOST")
        assert unit.execute("PROCESS_SCENE", scene=scene).code is Code.NOT_IN_THIS_MODE
        assert unit.execute("SET_MODE", mode="OPERATIONAL").stage is Stage.COMPLETED
        assert unit.execute("PROCESS_SCENE", scene=scene).stage is Stage.COMPLETED
        assert unit.stop() == 0


def test_a_lost_tail_of_the_log_ends_open_jobs_instead_of_running_them_twice(
    simulated: Simulated, tmp_path: Path, small_package: Path
) -> None:
    with flight_unit(tmp_path / "unit", package=small_package) as unit:
        scene = unit.add_scene(simulated.scene)
        unit.start()
        assert unit.execute("SET_MODE", mode="STANDBY").stage is Stage.COMPLETED
        with unit.client() as client:
            sent = client.send("PROCESS_SCENE", {"scene": scene})
            assert next(client.stages(sent, 60)).stage is Stage.ACCEPTED
            unit.execute("SET_PARAMETER", name="progress.period_s", value=1)
            unit.kill()
        log = unit.state / "state.sqlite-wal"
        content = bytearray(log.read_bytes())
        content[-50] ^= 1
        log.write_bytes(content)
        unit.start()
        assert unit.execute("PING").data["mode"] == "SAFE"
        (lost,) = unit.events("STATE_LOST")
        assert lost["fields"]["transactions"] >= 1
        (job,) = unit.execute("LIST_JOBS").data["jobs"]
        assert (job["state"], job["code"]) == ("FAILED", "STATE_LOST")
        assert lost["fields"]["jobs_failed"] == [job["job"]]
        assert unit.stop() == 0


def test_a_damaged_row_is_restored_from_the_copy_without_a_change_of_mode(
    simulated: Simulated, tmp_path: Path, small_package: Path
) -> None:
    with flight_unit(tmp_path / "unit", package=small_package) as unit:
        scene = unit.add_scene(simulated.scene)
        unit.start()
        assert unit.execute("PROCESS_SCENE", scene=scene).stage is Stage.COMPLETED
        products = unit.execute("LIST_PRODUCTS").data["products"]
        assert unit.stop() == 0
        path = unit.state / "state.sqlite"
        content = path.read_bytes()
        assert b"QUEUED" in content
        path.write_bytes(content.replace(b"QUEUED", b"QUEUEE"))
        shutil.copy(path, tmp_path / "damaged")
        unit.start()
        assert unit.events("STATE_RESTORED")
        assert unit.execute("PING").data["mode"] == "OPERATIONAL"
        assert unit.execute("LIST_PRODUCTS").data["products"] == products
        kept = (unit.state / "state.damaged.sqlite").read_bytes()
        assert kept == (tmp_path / "damaged").read_bytes()
        assert unit.stop() == 0
