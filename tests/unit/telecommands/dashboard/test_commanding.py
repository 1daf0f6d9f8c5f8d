"""Telecommands of the pages over links that change or stay silent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import zmq

from deploy.rig.flight_unit import wait_until
from telecommands.auth import SECRET_BYTES, TelecommandKey
from telecommands.dashboard.commanding import Commanding
from telecommands.dashboard.stages import StageLog
from telecommands.ground.connection import GroundKeys
from telecommands.ground.station import Station, StationEndpoints
from telecommands.keys import CurvePair
from tests.unit.telecommands.flight_stand_in import UNIT, FlightStandIn

KEY = TelecommandKey("operator", bytes(SECRET_BYTES))


@contextmanager
def _commanding(station: Callable[[], Station]) -> Iterator[Callable[[], str]]:
    """Sends a PING; its last stage and code."""
    log, stop = StageLog(lambda datum: None, KEY.key_id), threading.Event()
    commanding = Commanding(station, log, lambda *_: None)

    def ping() -> str:
        one = commanding.submit("PING", {})
        ends = ("COMPLETED", "REJECTED", "NO_ANSWER")
        wait_until(lambda: (stages := log.of(one)) and stages[-1]["stage"] in ends, 20)
        last = (log.of(one) or [])[-1]
        return f"{last['stage']} {last['code'] or ''}".strip()

    thread = threading.Thread(target=commanding.run, args=(stop,))
    thread.start()
    try:
        yield ping
    finally:
        stop.set()
        thread.join(20)


def _station(flight: FlightStandIn, keys: GroundKeys, folder: Path) -> Station:
    endpoints = msgspec.json.decode(flight.endpoints(folder).read_bytes(), type=StationEndpoints)
    return Station(endpoints, keys, folder / "operator.sequence")


def test_a_key_that_was_replaced_signs_the_next_telecommand(tmp_path: Path) -> None:
    other = TelecommandKey("operator", b"o" * SECRET_BYTES)
    keys = [GroundKeys(telecommand=other, unit=UNIT), GroundKeys(telecommand=KEY, unit=UNIT)]
    with (
        FlightStandIn(KEY) as flight,
        _commanding(lambda: _station(flight, keys[0], tmp_path)) as ping,
    ):
        assert ping() == "REJECTED BAD_MAC"
        keys.pop(0)
        assert ping() == "COMPLETED"


def test_a_link_that_refused_the_key_is_reopened_after_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("telecommands.dashboard.commanding.ANSWER_S", 0.5)
    pair, own = CurvePair(*zmq.curve_keypair()), CurvePair(*zmq.curve_keypair())
    keys = GroundKeys(curve=own, service_public=pair.public, telecommand=KEY, unit=UNIT)
    authorised: set[bytes] = set()
    with FlightStandIn(KEY, pair=pair, authorised=authorised) as flight:
        station = _station(flight, keys, tmp_path)
        with _commanding(lambda: station) as ping:
            assert ping().startswith("NO_ANSWER")
            authorised.add(own.public)
            monkeypatch.setattr("telecommands.dashboard.commanding.ANSWER_S", 20.0)
            assert ping() == "COMPLETED"
