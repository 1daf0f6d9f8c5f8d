"""Key files of a running service: damaged ones, and revocation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.rig.flight_unit import FlightUnit, wait_until
from deploy.rig.forked import flight_unit
from flightsw.keys import KeyFolder
from telecommands.dictionary import Code, Stage
from telecommands.ground.commanding import TelecommandClient
from telecommands.ground.connection import read_ground_keys
from telecommands.ground.errors import NoAnswer
from telecommands.ground.sequence import SequenceFile
from telecommands.ground.telemetry import TelemetryClient
from telecommands.keys import generate_curve_pair, generate_telecommand_key


@pytest.fixture
def unit(tmp_path: Path, small_package: Path) -> Iterator[FlightUnit]:
    with flight_unit(tmp_path / "unit", package=small_package) as unit:
        yield unit


def _keys(unit: FlightUnit) -> KeyFolder:
    return KeyFolder(unit.state / "keys")


def _second_operator(unit: FlightUnit) -> None:
    generate_curve_pair(unit.ground, "second")
    secret = generate_telecommand_key(unit.ground, "second")
    _keys(unit).authorise(unit.ground / "second.key", secret)


def _second_client(unit: FlightUnit) -> TelecommandClient:
    sequence = SequenceFile(unit.ground / "second.sequence")
    keys = read_ground_keys(unit.ground, "second")
    return TelecommandClient(unit.endpoints["telecommand"], keys, sequence)


def _refused(unit: FlightUnit, name: str) -> bool:
    return any(name in str(line) for line in unit.events("KEYS_REFUSED"))


def test_damaged_key_files_stop_neither_start_nor_operator_nor_revocation(unit: FlightUnit) -> None:
    _second_operator(unit)
    keys = _keys(unit)
    (keys.authorised_folder / "binary.key").write_bytes(bytes(range(256)))
    (keys.authorised_folder / "folder.key").mkdir()
    (keys.authorised_folder / "dangling.key").symlink_to("nowhere")
    loose = keys.telecommand_folder / "loose.telecommand_key"
    loose.write_text("0" * 64)
    loose.chmod(0o644)
    unit.start()
    assert unit.execute("PING").stage is Stage.COMPLETED
    for name in ("binary", "folder", "dangling", "loose"):
        wait_until(lambda name=name: _refused(unit, name))  # type: ignore[misc]
    keys.revoke("second")

    def shut_out() -> bool:
        try:
            with _second_client(unit) as client:
                return client.execute("PING", {}, 2).code is Code.UNKNOWN_KEY
        except NoAnswer:
            return True

    wait_until(shut_out)
    assert unit.execute("PING").stage is Stage.COMPLETED
    assert unit.stop() == 0


def test_a_link_that_a_revoked_client_holds_open_is_closed(unit: FlightUnit) -> None:
    _second_operator(unit)
    unit.start()
    revoked = TelemetryClient(
        unit.endpoints["telemetry"], read_ground_keys(unit.ground, "second"), ("hk",)
    )
    with revoked, unit.telemetry("hk") as stays, _second_client(unit) as commanding:
        unit.execute("SET_HOUSEKEEPING_RATE", period_s=0.2)
        assert next(revoked.packets(30))
        file = {"name": "m", "size": 9, "sha256": "0" * 64}
        assert commanding.execute("BEGIN_UPLINK", file, 30).stage is Stage.COMPLETED
        _keys(unit).revoke("second")
        wait_until(lambda: not [*revoked.packets(2)])
        boot = [packet.boot for _, packet, _ in stays.packets(2)]
        assert boot
        with pytest.raises(NoAnswer):
            commanding.execute("UPLINK_CHUNK", {"name": "m", "offset": 0, "data": b"x"}, 3)
        (left,) = unit.execute("LIST_UPLINKS").data["uplinks"]
        assert left["received"] == 0
    assert unit.stop() == 0


def test_a_file_that_becomes_readable_for_others_no_longer_counts(unit: FlightUnit) -> None:
    _second_operator(unit)
    unit.start()
    secret = _keys(unit).telecommand_folder / "second.telecommand_key"
    secret.chmod(0o644)

    def commands() -> bool:
        with _second_client(unit) as client:
            return client.execute("PING", {}, 30).stage is Stage.COMPLETED

    wait_until(lambda: not commands())
    secret.chmod(0o600)
    wait_until(commands)
    assert unit.stop() == 0
