"""The daemon of a laboratory, whose settings inject faults of the card."""

from __future__ import annotations

from pathlib import Path

from deploy.rig.flight_unit import wait_until
from deploy.rig.forked import flight_unit
from flightsw.model.package import load_package
from telecommands.dictionary import Stage
from tests.conftest import Simulated

_HOT = """
[dimc.twin]
latency_ms = 300.0
[dimc.faults]
over_temperature = 1.0
first = {first}
most = 1
celsius = 100.0
hot_seconds = 5.0
"""


def test_a_card_that_is_too_hot_leads_to_safe_mode_and_when_it_has_cooled_the_job_completes(
    tmp_path: Path, simulated: Simulated, small_package: Path
) -> None:
    golden = load_package(small_package).golden_tiles()
    frames_of_the_self_test = 3 * len(golden.tiles)  # two push each out
    lines = _HOT.format(first=frames_of_the_self_test + 4)
    with flight_unit(tmp_path / "unit", lines=lines, package=small_package) as unit:
        scene = unit.add_scene(simulated.scene)
        unit.start(options=("--laboratory",))
        assert unit.events("FAULTS_INJECTED")
        ended = unit.execute("PROCESS_SCENE", scene=scene, products=["geotiff"])
        assert ended.stage is Stage.COMPLETED
        wait_until(lambda: unit.execute("PING").data["mode"] == "OPERATIONAL")
        assert [one["fields"]["value"] for one in unit.events("TOO_HOT")] == [100.0]
        modes = [one["message"] for one in unit.events("MODE_CHANGED")]
        assert any("SAFE: temperature" in one for one in modes)
        assert any(one.startswith("SAFE to OPERATIONAL") for one in modes)
        assert unit.stop() == 0


def test_a_flight_unit_refuses_settings_that_inject_faults(tmp_path: Path) -> None:
    with flight_unit(tmp_path / "unit", lines=_HOT.format(first=0)) as unit:
        unit.start(wait=False)
        assert unit.wait_for_end() == 2
        assert "--laboratory" in unit.log[-1]["text"]
