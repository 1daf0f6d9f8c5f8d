"""A unit that is watched beside others: its link is opened again, and its trouble is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from telecommands.auth import SECRET_BYTES, TelecommandKey
from telecommands.ground.connection import GroundKeys
from telecommands.ground.errors import UsageError
from telecommands.ground.station import Station, StationEndpoints
from telecommands.groundsim.fleet import WatchedUnit
from tests.unit.telecommands.dashboard.running import until
from tests.unit.telecommands.flight_stand_in import FlightStandIn

_KEY = TelecommandKey("operator", bytes(SECRET_BYTES))


def _follow(unit: WatchedUnit, holds: Callable[[], object]) -> None:
    def followed() -> object:
        list(unit.packets(0.02))
        return holds()

    until(followed)


def _station(flight: FlightStandIn, folder: Path) -> Station:
    links = StationEndpoints(**json.loads(flight.endpoints(folder).read_text()))
    return Station(links, GroundKeys(), folder / "sequence")


def test_it_is_opened_when_there_is_a_service_and_again_after_its_end(tmp_path: Path) -> None:
    places: list[Station] = []

    def station() -> Station:
        if not places:
            raise UsageError("endpoints.json", "cannot be read", "Start the service")
        return places[-1]

    with WatchedUnit("sat-a", station) as unit:
        _follow(unit, lambda: "cannot be read" in unit.trouble)
        with FlightStandIn(_KEY, unit="sat-a") as flight:
            places.append(_station(flight, tmp_path))
            _follow(unit, lambda: unit.state.housekeeping is not None and not unit.trouble)
        _follow(unit, lambda: unit.trouble)
        packets = unit.state.packets["hk"]
        with FlightStandIn(_KEY, unit="sat-a") as flight:
            places.append(_station(flight, tmp_path))
            _follow(unit, lambda: unit.state.packets["hk"] > packets)


def test_packets_of_another_unit_are_left_out_and_named(tmp_path: Path) -> None:
    with FlightStandIn(_KEY, unit="sat-b") as flight:
        place = _station(flight, tmp_path)
        with WatchedUnit("sat-a", lambda: place) as unit:
            _follow(unit, lambda: unit.trouble == "this endpoint belongs to unit sat-b")
            assert unit.state.packets.total() == 0
