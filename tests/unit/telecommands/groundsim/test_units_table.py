"""``groundsim watch`` with several units: a row for each, within the terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from telecommands.auth import SECRET_BYTES, TelecommandKey
from telecommands.dictionary import (
    ContactState,
    Mode,
    Packet,
    Record,
    Severity,
    Stage,
    Verification,
)
from telecommands.ground.errors import UsageError
from telecommands.ground.station import Station
from telecommands.groundsim.cli import main
from telecommands.groundsim.fleet import WatchedUnit
from telecommands.groundsim.units_table import units_table
from tests.unit.telecommands.flight_stand_in import FlightStandIn, event, housekeeping

NOW_NS = 1_800_000_000 * 10**9


def _absent() -> Station:
    raise UsageError("endpoints.json", "cannot be read", "Start the service")


def _unit(name: str, *records: tuple[str, Record], trouble: str = "") -> WatchedUnit:
    unit = WatchedUnit(name, _absent)
    unit.trouble = trouble
    for topic, record in records:
        body = msgspec.Raw(b"\xc0")
        packet = Packet(v=2, unit=name, boot=1, seq=1, t=NOW_NS, kind="", body=body)
        unit.state.take(topic, packet, record, 100.0)
    return unit


def _lines(units: list[WatchedUnit], width: int = 80, height: int = 24) -> list[str]:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(units_table(units, 105.0, NOW_NS, height))
    return console.export_text().splitlines()


def test_a_row_says_mode_link_age_limits_contact_and_cloud() -> None:
    entry = {"entry": "e", "at": NOW_NS + 600 * 10**9, "if_missed": "report",
             "telecommand": {"name": "OPEN_CONTACT"}}  # fmt: skip
    listed = Verification(
        id="1", name="LIST_SCHEDULE", stage=Stage.COMPLETED, at=1, data={"entries": [entry]}
    )
    open_now = housekeeping(contact=ContactState(open=True, seconds_left=42.0))
    hot = housekeeping(mode=Mode.SAFE, card_temperature_c=86.0, card_power_w=20.0)
    boom = event("TOO_HOT", severity=Severity.CRITICAL, message="86 °C")
    lines = _lines(
        [
            _unit("sat-a", ("hk", open_now)),
            _unit("sat-b", ("hk", hot), ("ver", listed), ("evt", boom)),
            _unit("sat-c", trouble="nothing listens there"),
        ]
    )
    assert lines[1].split() == [
        "sat-a",
        "OPERATIONAL",
        "up",
        "5",
        "s",
        "ok",
        "open",
        "42",
        "s",
        "-",
    ]
    assert "SAFE" in lines[2]
    assert "1 critical" in lines[2]
    assert "in 10:00 min" in lines[2]
    assert "nothing listens" in lines[3]
    assert "sat-b TOO_HOT 86 °C" in " ".join(lines[4].split())
    assert lines[-1].startswith("3 units, 1 down")


@pytest.mark.parametrize("count", [1, 22, 50])
def test_it_fits_80_by_24_and_counts_what_does_not(count: int) -> None:
    busy = [("evt", event("JOB_STARTED", message=90 * "x"))] * 12
    longest = 20 * "n"
    units = [_unit(longest, ("hk", housekeeping()), *busy, trouble=99 * "y") for _ in range(count)]
    lines = _lines(units)
    assert len(lines) <= 24
    assert sum(line.startswith(longest) for line in lines) == min(count, 22)
    assert ("28 not shown" in lines[-1]) is (count == 50)


def test_one_unit_without_a_service_does_not_keep_the_others_from_being_watched(
    tmp_path: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = TelecommandKey("operator", bytes(SECRET_BYTES))
    with FlightStandIn(key, unit="sat-a") as a, FlightStandIn(key, unit="sat-b") as b:
        stations = []
        for name, flight in (("sat-a", a), ("sat-b", b), ("sat-c", a), ("sat-d", None)):
            folder = tmp_path / name
            folder.mkdir()
            place = flight.endpoints(folder) if flight else folder / "endpoints.json"
            stations.append(f'[{name}]\nendpoints = "{place}"\nkeys = "{keys}"\n')
        path = tmp_path / "stations.toml"
        path.write_text("".join(stations))
        command = ["watch", "--stations", str(path), "--no-curve", "--topics", "hk"]
        assert main([*command, "--count", "2", "--for", "20"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["unit"] for line in lines} == {"sat-a", "sat-b"}
