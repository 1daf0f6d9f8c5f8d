"""Several units behind one bridge: each has its own archive, link, products and commanding."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from telecommands.auth import SECRET_BYTES, TelecommandKey
from telecommands.dashboard.bridge import DashboardSettings
from telecommands.dashboard.service_queries import SCHEDULE_REQUEST
from telecommands.dashboard.unit_settings import UnitSettings
from telecommands.dictionary import CloudFraction, ContactState, Stage, Verification
from telecommands.ground.connection import GroundKeys
from telecommands.ground.errors import UsageError
from telecommands.ground.station import Station, StationEndpoints
from tests.unit.telecommands.dashboard.running import Client, page_and_library, running, until
from tests.unit.telecommands.flight_stand_in import FlightStandIn, housekeeping

KEY = TelecommandKey("operator", bytes(range(SECRET_BYTES)))
A, B, MISPLACED, ABSENT = "sat-a", "sat-b", "sat-c", "sat-d"


@dataclass(frozen=True)
class Fleet:
    """Two units that run, one whose station is that of the first, one without a service."""

    folder: Path
    client: Client
    a: FlightStandIn
    b: FlightStandIn

    def summary(self, unit: str) -> dict[str, Any]:
        found: dict[str, Any] = next(
            one for one in self.client.get("/api/units") if one["name"] == unit
        )
        return found


def _station(flight: FlightStandIn, folder: Path, unit: str) -> Station:
    links = StationEndpoints(**json.loads(flight.endpoints(folder).read_text()))
    sequence = folder / f"{unit}.sequence"
    return Station(links, GroundKeys(telecommand=KEY, unit=unit), sequence)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")

    def station(unit: str) -> Station:
        if unit == ABSENT:
            raise UsageError("endpoints.json", "cannot be read", "Start the service")
        return stations[unit]

    with FlightStandIn(KEY, unit=A) as a, FlightStandIn(KEY, unit=B) as b:
        stations = {
            A: _station(a, folder, A),
            B: _station(b, folder, B),
            MISPLACED: _station(a, folder, MISPLACED),
        }
        units = [
            UnitSettings(
                name=name,
                archive=folder / f"{name}.sqlite",
                station=partial(station, name),
                operator=None if name == ABSENT else KEY,
            )
            for name in (A, B, MISPLACED, ABSENT)
        ]
        settings = DashboardSettings(
            port=0,
            log=folder / "log.sqlite",
            received=folder / "received",
            fetch=True,
            **page_and_library(folder),
        )
        with running(settings, *units) as client:
            fleet = Fleet(folder, client, a, b)
            until(lambda: fleet.summary(A)["mode"] and fleet.summary(B)["mode"])
            yield fleet


def test_one_unit_down_shows_only_that(fleet: Fleet) -> None:
    states = {one["name"]: one["link"]["state"] for one in fleet.client.get("/api/units")}
    assert states == {A: "up", B: "up", MISPLACED: "down", ABSENT: "down"}
    assert "endpoints.json" in fleet.summary(ABSENT)["link"]["cause"]
    assert fleet.summary(ABSENT)["last_packet"] is None
    fleet.b.telemetry.publish("hk", housekeeping(card_power_w=21.0))
    until(lambda: fleet.summary(B)["beyond"] == 1)
    assert (fleet.summary(B)["worst"], fleet.summary(A)["beyond"]) == ("WARNING", 0)


def test_packets_of_another_unit_are_refused_and_say_whose_they_are(fleet: Fleet) -> None:
    until(lambda: "is the unit sat-a, not sat-c" in fleet.summary(MISPLACED)["link"]["cause"])
    assert fleet.client.get(f"/units/{MISPLACED}/api/status")["archive"]["packets"] == 0


def test_the_table_shows_contact_and_cloud_of_each_unit(fleet: Fleet) -> None:
    cloud = CloudFraction(
        job="job-1", scene="S2A.SAFE", model="m", engine="dimc", ground_sample_distance=10,
        height=1, width=1, valid_pixels=1, contaminated=0.25, fractions={}, rows=1, columns=1,
        tile_map=b"\x00", seconds=1.0, inference_seconds=0.5, stages_ms={}, energy_j=None,
    )  # fmt: skip
    fleet.a.telemetry.publish("sci.cloud_fraction", cloud)
    contact = ContactState(open=True, seconds_left=90.0)
    fleet.a.telemetry.publish("hk", housekeeping(contact=contact, scheduled=1))
    until(lambda: fleet.summary(A)["cloud"] is not None and fleet.summary(A)["contact_seconds"])
    assert (fleet.summary(A)["scene"], fleet.summary(A)["contact_seconds"]) == ("S2A.SAFE", 90.0)
    assert (fleet.summary(B)["cloud"], fleet.summary(B)["contact_seconds"]) == (None, None)
    asked = until(lambda: [one for one in fleet.a.ran if one.args == SCHEDULE_REQUEST])[0]
    at = time.time_ns() + 600 * 10**9
    entries = [
        {"entry": f"e-{name}", "at": when, "if_missed": "report", "telecommand": {"name": name}}
        for name, when in (("SELF_TEST", at - 1), ("OPEN_CONTACT", at))
    ]
    fleet.a.telemetry.publish(
        "ver",
        Verification(id=asked.id, name=asked.name, stage=Stage.COMPLETED, at=time.time_ns(),
                     data={"entries": entries}),
    )  # fmt: skip
    until(lambda: fleet.summary(A)["next_contact"] == at / 1e6)


def test_a_telecommand_goes_to_the_unit_on_the_screen_and_to_no_other(fleet: Fleet) -> None:
    def sent(unit: str, signed_for: str) -> int:
        body = json.dumps({"name": "GET_PARAMETER", "args": {"name": unit}}).encode()
        header = fleet.client.signed(f"/units/{signed_for}/api/telecommands", body)
        return fleet.client.ask(f"/units/{unit}/api/telecommands", body, header).status

    assert sent(B, signed_for=A) == 403
    assert sent(B, signed_for=B) == 202
    until(lambda: any(one.args.get("name") == B for one in fleet.b.ran))
    assert not any(one.args.get("name") == B for one in fleet.a.ran)
    assert sent(ABSENT, signed_for=ABSENT) == 403  # its bridge has no key
    assert fleet.client.ask("/api/telecommands").status == 404  # there is no unit without a name


def test_equal_jobs_of_two_units_are_kept_apart(fleet: Fleet) -> None:
    for flight, text in ((fleet.a, b"of a"), (fleet.b, b"of b")):
        flight.offer("report.json", text)
        flight.contact_open = True

    def listed(unit: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = fleet.client.get(f"/units/{unit}/api/products")
        return found

    for unit, text in ((A, b"of a"), (B, b"of b")):
        [product] = until(lambda of=unit: listed(of))
        assert (product["unit"], product["job"]) == (unit, "job-1")
        stored = fleet.folder / "received" / unit / "job-1" / "report.json"
        assert stored.read_bytes() == text
        file = f"/units/{unit}/api/products/{product['product']}/file"
        assert fleet.client.ask(file).body == text


def test_an_archive_that_cannot_be_read_is_an_error_of_its_unit_only(fleet: Fleet) -> None:
    with sqlite3.connect(fleet.folder / f"{B}.sqlite") as connection:
        connection.execute("ALTER TABLE packet RENAME TO lost")
    connection.close()
    assert "cannot be read" in fleet.summary(B)["error"]
    assert (fleet.summary(A)["error"], fleet.summary(A)["mode"]) == ("", "OPERATIONAL")
