"""What the dashboard's benchmark measures without a browser."""

from __future__ import annotations

from pathlib import Path

from deploy.benchmark.dashboard import build, measure_queries
from deploy.rig.bridge_process import BridgeProcess
from deploy.rig.forked import flight_unit
from tests.unit.telecommands.dashboard.running import page_and_library


def test_the_plots_requests_to_an_archive_are_timed(tmp_path: Path) -> None:
    archive = tmp_path / "archive.sqlite"
    build(archive, days=2, day=1200)
    with flight_unit(tmp_path / "unit") as unit:
        openmct = str(page_and_library(tmp_path)["openmct"])
        bridge = BridgeProcess(unit, tmp_path, archive=archive, options=["--openmct", openmct])
        measured = measure_queries(bridge)
    assert set(measured["milliseconds"]) == {"the whole", "a day", "8 hours", "an hour"}
    assert all(0 < took["median"] <= took["max"] for took in measured["milliseconds"].values())
