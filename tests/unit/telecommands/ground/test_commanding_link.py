from __future__ import annotations

from pathlib import Path

import msgspec

from telecommands.auth import SECRET_BYTES, TelecommandKey
from telecommands.dictionary import Stage
from telecommands.ground.commanding_link import CommandingLink
from telecommands.ground.connection import GroundKeys
from telecommands.ground.station import Station, StationEndpoints
from tests.unit.telecommands.flight_stand_in import UNIT, FlightStandIn

KEY = TelecommandKey("operator", bytes(SECRET_BYTES))
SECONDS = 20.0


def test_a_link_is_opened_when_it_is_used_and_again_when_the_keys_change(tmp_path: Path) -> None:
    other = TelecommandKey("operator", b"o" * SECRET_BYTES)
    with FlightStandIn(KEY) as flight:
        endpoints = msgspec.json.decode(
            flight.endpoints(tmp_path).read_bytes(), type=StationEndpoints
        )
        stations = [
            Station(endpoints, GroundKeys(telecommand=key, unit=UNIT), tmp_path / "sequence")
            for key in (other, KEY)
        ]
        with CommandingLink(lambda: stations[0]) as link:
            assert list(link.arrivals(0.0)) == []
            first = link.client()
            assert link.client() is first
            assert first.execute("PING", timeout_s=SECONDS).stage is Stage.REJECTED
            stations.pop(0)
            assert link.client() is not first
            assert link.client().execute("PING", timeout_s=SECONDS).stage is Stage.COMPLETED
            second = link.client()
            link.renew()
            assert link.client() is not second
