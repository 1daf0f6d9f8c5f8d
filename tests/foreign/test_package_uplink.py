"""A model package from mission control to the inbox on board, over a kill of the service."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("cfdp", reason="the foreign CFDP entity is not installed (extra dev)")
pytest.importorskip("cfdppy", reason="cfdp-py is not installed (extra gateway)")

from deploy.faults.gateway_kills import file_gateway, station_options
from deploy.faults.small_package import write_small_package
from deploy.rig.cfdp_peer import cfdp_peer
from deploy.rig.flight_unit import wait_until
from deploy.rig.forked import flight_unit
from deploy.rig.ports import free_udp_ports
from telecommands.dictionary import LONGEST_UPLINK_CHUNK, Stage
from telecommands.ground.package_archive import open_package

pytestmark = pytest.mark.skipif(
    "FLIGHTSW_LONG_TESTS" not in os.environ,
    reason="starts the service twice: set FLIGHTSW_LONG_TESTS",
)


def test_a_package_from_mission_control_is_staged_although_the_service_was_killed(
    tmp_path: Path,
) -> None:
    own, other = free_udp_ports(2)
    folder = write_small_package(tmp_path / "one-layer-1.1", version="1.1")
    bucket = tmp_path / "bucket"
    with (
        flight_unit(tmp_path / "unit") as unit,
        open_package(folder) as package,
        cfdp_peer(bucket, other, own) as peer,
    ):
        unit.use_package(write_small_package(tmp_path / "package"))
        unit.start()
        with unit.client() as client:
            file = {"name": package.name, "size": package.size, "sha256": package.sha256}
            client.execute("BEGIN_UPLINK", file)
            data = package.read(0, LONGEST_UPLINK_CHUNK)
            client.execute("UPLINK_CHUNK", {"name": package.name, "offset": 0, "data": data})
        unit.kill()
        unit.start()
        (begun,) = unit.execute("LIST_UPLINKS").data["uplinks"]
        assert (begun["received"], begun["complete"]) == (LONGEST_UPLINK_CHUNK, False)
        (bucket / f"{package.name}.tar").write_bytes(package.read(0, package.size))
        with file_gateway(tmp_path / "received", (own, other), 20e6, station_options(unit)):
            peer.put(f"{package.name}.tar")
            wait_until(lambda: unit.events("UPLINK_RECEIVED"))
        (listed,) = unit.execute("LIST_UPLINKS").data["uplinks"]
        assert listed["complete"]
        staged = unit.execute("STAGE_MODEL", package=package.name, sha256=package.checksums)
        assert staged.stage is Stage.COMPLETED
        assert not list((tmp_path / "received" / ".cfdp" / "up").iterdir())
