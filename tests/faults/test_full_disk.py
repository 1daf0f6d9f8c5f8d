"""The disk fills up and a limit warns early: nothing is lost, the service keeps running."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from deploy.rig.flight_unit import FlightUnit, wait_until
from deploy.rig.forked import flight_unit
from telecommands.dictionary import Code, Stage
from tests.conftest import Simulated

_MEGABYTE = 1 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A separate disk of 64 MB; skips if mounting one is not allowed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)]
    if (
        shutil.which("mount") is None
        or subprocess.run(command, capture_output=True, timeout=20, check=False).returncode
    ):
        pytest.skip("mounting a small disk needs root")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True, timeout=20)


def _fill(disk: Path, leave: int) -> Path:
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        for _ in range(100):
            spare = shutil.disk_usage(disk).free - leave
            if spare <= 0:
                return ballast
            with suppress(OSError):  # the service wrote something meanwhile: look again
                os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), spare)
    raise AssertionError("the small disk could not be filled")


def test_a_full_disk_leads_to_safe_mode_and_loses_nothing(
    small_disk: Path, simulated: Simulated, small_package: Path
) -> None:
    with flight_unit(small_disk / "unit", package=small_package) as unit:
        shutil.copytree(simulated.scene, unit.scenes / simulated.scene.name)
        scene = simulated.scene.name
        unit.start()
        wait_until(lambda: unit.execute("PING").data["mode"] == "SAFE")  # 1 GB must stay free
        unit.execute("SET_PARAMETER", name="storage.reserve_bytes", value=2 * _MEGABYTE)
        wait_until(lambda: unit.execute("SET_MODE", mode="OPERATIONAL").stage is Stage.COMPLETED)
        kept = unit.execute("PROCESS_SCENE", scene=scene)
        assert kept.stage is Stage.COMPLETED

        ballast = _fill(small_disk, leave=0)
        wait_until(lambda: unit.execute("PING").data["mode"] == "SAFE")
        assert unit.events("DISK_FULL")
        refused = unit.execute("SET_MODE", mode="OPERATIONAL")
        assert refused.stage in (Stage.REJECTED, Stage.FAILED)
        assert refused.code in (Code.NOT_IN_THIS_MODE, Code.STATE_UNAVAILABLE)

        ballast.unlink()
        wait_until(lambda: unit.execute("SET_MODE", mode="OPERATIONAL").stage is Stage.COMPLETED)
        assert unit.execute("PROCESS_SCENE", scene=scene).stage is Stage.COMPLETED
        products = unit.execute("LIST_PRODUCTS").data["products"]
        assert {one["product"] for one in products} >= set(kept.data["products"])
        assert unit.stop() == 0


@pytest.mark.parametrize("end", [FlightUnit.stop, FlightUnit.kill])
def test_a_service_starts_on_a_full_disk_deletes_and_recovers(
    end: Callable[[FlightUnit], object],
    small_disk: Path,
    simulated: Simulated,
    tmp_path: Path,
    small_package: Path,
) -> None:
    with flight_unit(small_disk / "unit", package=small_package) as unit:
        shutil.copytree(simulated.scene, unit.scenes / simulated.scene.name)
        unit.start()
        unit.execute("SET_PARAMETER", name="storage.reserve_bytes", value=2 * _MEGABYTE)
        wait_until(lambda: unit.execute("SET_MODE", mode="OPERATIONAL").stage is Stage.COMPLETED)
        done = unit.execute(
            "PROCESS_SCENE", scene=simulated.scene.name, products=["report", "fill"]
        )
        deleted, *_ = (one for one in done.data["products"] if ".fill." in one)
        end(unit)
        (unit.state / "endpoints.json").unlink()
        ballast = _fill(small_disk, leave=0)

        unit.start()
        assert unit.execute("PING").data["mode"] == "SAFE"
        assert unit.execute("SET_MODE", mode="OPERATIONAL").code is Code.NOT_IN_THIS_MODE
        refused = unit.execute("SET_PARAMETER", name="progress.period_s", value=1)
        assert refused.code is Code.STATE_UNAVAILABLE
        assert unit.execute("OPEN_CONTACT", bytes=10**9, seconds=60).stage is Stage.COMPLETED
        with unit.receiver(tmp_path) as receiver:
            received = receiver.receive_next(timeout_s=30)
            assert received is not None, receiver.why_nothing
        assert unit.execute("DELETE_PRODUCT", product=deleted).stage is Stage.COMPLETED

        ballast.unlink()
        wait_until(lambda: unit.execute("SET_MODE", mode="OPERATIONAL").stage is Stage.COMPLETED)
        unit.kill()
        unit.start()
        kinds = ["QUEUED", "DELIVERED", "DELETED"]
        listed = unit.execute("LIST_PRODUCTS", states=kinds).data["products"]
        states = {one["product"]: one["state"] for one in listed}
        assert set(states) == set(done.data["products"])
        assert (states[deleted], states[received.product]) == ("DELETED", "DELIVERED")
        assert unit.stop() == 0


def test_a_job_waits_where_its_products_do_not_fit_the_disk(
    small_disk: Path, simulated: Simulated, small_package: Path
) -> None:
    with flight_unit(small_disk / "unit", package=small_package) as unit:
        shutil.copytree(simulated.scene, unit.scenes / simulated.scene.name)
        unit.start()
        unit.execute("SET_PARAMETER", name="storage.reserve_bytes", value=2 * _MEGABYTE)
        ballast = _fill(small_disk, leave=4 * _MEGABYTE)
        wait_until(lambda: unit.execute("SET_MODE", mode="OPERATIONAL").stage is Stage.COMPLETED)
        with unit.client() as client:
            request = {"scene": simulated.scene.name, "products": ["fill", "mask", "report"]}
            sent = client.send("PROCESS_SCENE", request)
            wait_until(lambda: bool(unit.events("QUOTA_REACHED")))
            ballast.unlink()
            assert list(client.stages(sent, 120))[-1].stage is Stage.COMPLETED
        assert unit.stop() == 0
