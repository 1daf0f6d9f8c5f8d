from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest

from deploy.rig.flight_unit import wait_until
from telecommands.dictionary import Stage, Verification
from telecommands.gateway.gateway import Gateway, GatewaySettings
from telecommands.gateway.packets import STATUS_STRUCTURE
from telecommands.ground.connection import read_ground_keys
from telecommands.ground.errors import UsageError
from telecommands.ground.station import Station, StationEndpoints
from tests.unit.telecommands.flight_stand_in import UNIT, FlightStandIn, event, housekeeping
from tests.unit.telecommands.gateway.mission_control import SECONDS, MissionControl
from tests.unit.telecommands.gateway.samples import APID, RECORDS, function, insertion, request

_LATER = 2_000_000_000 * 10**9


class _Running:
    def __init__(self, gateway: Gateway, log: list[str]) -> None:
        self.gateway, self.log = gateway, log

    @property
    def faults(self) -> dict[str, int]:
        return self.gateway.status().faults


_Start = Callable[..., _Running]


@pytest.fixture
def start(flight: FlightStandIn, keys: Path, tmp_path: Path) -> Iterator[_Start]:
    """Starts gateways of the stand-in; all are stopped at the end."""
    endpoints = flight.endpoints(tmp_path)

    def station() -> Station:
        links = msgspec.json.decode(endpoints.read_bytes(), type=StationEndpoints)
        ground = read_ground_keys(keys, "operator", curve=False)
        ground = msgspec.structs.replace(ground, unit=UNIT)
        return Station(endpoints=links, keys=ground, sequence=keys / "operator.sequence")

    with ExitStack() as running:
        yield lambda **settings: running.enter_context(_run(station, tmp_path, settings))


@contextmanager
def _run(
    station: Callable[[], Station], folder: Path, settings: dict[str, object]
) -> Iterator[_Running]:
    log: list[str] = []
    values: dict[str, object] = {"listen": ("127.0.0.1", 0), "apid": APID, "hold_s": 0.0}
    values |= {"counts": folder / "counts", **settings}
    with Gateway(GatewaySettings(**values), station, log.append) as gateway:  # type: ignore[arg-type]
        thread = threading.Thread(target=gateway.run)
        thread.start()
        try:
            yield _Running(gateway, log)
        finally:
            gateway.stop()
            thread.join(SECONDS)


@pytest.fixture
def gateway(start: _Start) -> _Running:
    return start(status_s=0.0)


@pytest.fixture
def control(gateway: _Running) -> Iterator[MissionControl]:
    with MissionControl(gateway.gateway.address) as control:
        control.status(lambda status: status["link_up"])
        yield control


def test_telemetry_arrives_without_a_gap_and_so_do_telecommands(
    flight: FlightStandIn, control: MissionControl
) -> None:
    flight.telemetry.publish("hk", housekeeping())
    flight.telemetry.publish("evt", event("JOB_FAILED"))
    control.until(lambda packet: packet.service == 5)
    for raw in (function("PING", count=1), request(17, 1, count=2)):
        control.send(raw)
        assert [subtype for subtype, _ in control.stages(raw)] == [1, 7]
    control.until(lambda packet: (packet.service, packet.message_subtype) == (17, 2))
    counts = [struct.unpack(">H", raw[2:4])[0] & 0x3FFF for raw in control.raw]
    assert counts == list(range(counts[0], counts[0] + len(counts)))
    assert [body.name for body in flight.ran] == ["PING", "PING"]


def test_rejections_of_the_service_and_of_the_gateway_carry_their_text(
    control: MissionControl, flight: FlightStandIn
) -> None:
    outside = function("PROCESS_SCENE", scene="../x", count=3)
    control.send(outside)
    ((subtype, record),) = control.stages(outside)
    assert (subtype, record["code"]) == (2, "OUTSIDE_SCENE_ROOT")
    assert record["cause"] == "the scene is outside the scene root"
    hazardous = function("SHUT_DOWN", count=4)
    control.send(hazardous)
    ((subtype, record),) = control.stages(hazardous)
    assert (subtype, record["code"]) == (2, "NOT_PERMITTED")
    assert "is hazardous" in record["cause"]
    assert flight.ran == []


def test_a_hazardous_telecommand_is_armed_and_sent_if_the_gateway_allows_it(
    start: _Start, flight: FlightStandIn
) -> None:
    with MissionControl(start(hazardous=True).gateway.address) as control:
        raw = function("SET_MODE", mode="SAFE")
        control.send(raw)
        assert [subtype for subtype, _ in control.stages(raw)] == [1, 7]
    assert [body.name for body in flight.ran] == ["ARM", "SET_MODE"]


def test_no_report_comes_before_mission_control_has_noted_what_it_sent(start: _Start) -> None:
    with MissionControl(start(hold_s=0.3).gateway.address) as control:
        for raw in (function("PING", count=7), request(17, 1, apid=7, count=8)):
            sent_at = time.monotonic()
            control.send(raw)
            control.stages(raw)
            assert time.monotonic() >= sent_at + 0.3


def test_a_failed_job_closes_as_failed(control: MissionControl) -> None:
    raw = function("PROCESS_SCENE", scene="corrupt", count=8)
    control.send(raw)
    found = control.stages(raw)
    assert [subtype for subtype, _ in found] == [1, 3, 8]
    assert found[-1][1]["cause"] == "B03 ends early"


def test_a_scheduled_telecommand_is_accepted_and_can_be_deleted(
    control: MissionControl, flight: FlightStandIn
) -> None:
    flight.results["SCHEDULE"] = {"entry": "e1"}
    inner = function("PING", count=11)
    outer = insertion(_LATER, inner, count=12)
    control.send(outer)
    assert [subtype for subtype, _ in control.stages(outer)] == [1, 7]
    control.until(lambda p: (p.message_subtype, bytes(p.source_data[:4])) == (1, inner[:4]))
    delete = request(11, 5, struct.pack(">BHHH", 1, 0, APID, 11), count=13)
    control.send(delete)
    assert [subtype for subtype, _ in control.stages(delete)] == [1, 7]
    assert flight.ran[-1].args == {"entry": "e1"}
    unknown = request(11, 5, struct.pack(">BHHH", 1, 0, APID, 99), count=14)
    control.send(unknown)
    ((subtype, record),) = control.stages(unknown)
    assert (subtype, "has scheduled no telecommand" in record["cause"]) == (2, True)


def test_a_restart_keeps_the_request_id_of_a_scheduled_telecommand(
    start: _Start, flight: FlightStandIn
) -> None:
    flight.results["SCHEDULE"] = {"entry": "e1"}
    inner = function("PING", count=11)
    with start().gateway as first, MissionControl(first.address) as control:
        control.send(insertion(_LATER, inner, count=12))
        control.until(lambda p: (p.message_subtype, bytes(p.source_data[:4])) == (1, inner[:4]))
        first.stop()
    ended = Verification(id="e1", name="PING", stage=Stage.COMPLETED, at=1, key_id="operator")
    with MissionControl(start(status_s=0.0).gateway.address) as control:
        control.status(lambda status: status["link_up"])
        flight.telemetry.publish("ver", ended)
        assert [subtype for subtype, _ in control.stages(inner)] == [7]


def test_the_end_of_its_context_waits_for_what_another_thread_runs(start: _Start) -> None:
    with start().gateway as gateway, MissionControl(gateway.address) as control:
        control.status(lambda status: status["link_up"])
    names = [thread.name for thread in threading.enumerate()]
    assert not any(name.startswith("gateway-") for name in names)


def test_counts_continue_where_the_last_gateway_ended(start: _Start, tmp_path: Path) -> None:
    counts = tmp_path / "other_counts"

    def counted() -> list[int]:
        with start(counts=counts, status_s=0.0).gateway as gateway:
            with MissionControl(gateway.address) as control:
                control.status(lambda status: status["sent"] > 2)
                found = [int.from_bytes(raw[2:4], "big") & 0x3FFF for raw in control.raw]
            gateway.stop()
            found.append(gateway.status().sent)
        return found

    *first, sent = counted()
    assert first[0] == 0
    assert counted()[0] == sent


def test_wrong_packets_are_named_and_counted_and_the_connection_continues(
    gateway: _Running, control: MissionControl
) -> None:
    wrong = {
        "WRONG_APID": request(17, 1, apid=7, count=20),
        "WRONG_CHECKSUM": request(17, 1, count=21)[:-1] + b"\0",
        "UNKNOWN_SERVICE": request(6, 2, count=22),
        "BAD_ARGUMENTS": request(8, 1, b"\xff\xff", count=23),
        "MALFORMED": b"\x18\x64\xc0\x18\x00\x06" + bytes(7),
    }
    for fault, raw in wrong.items():
        control.send(raw)
        ((subtype, record),) = control.stages(raw)
        assert (subtype, bool(record["cause"])) == (2, True)
        assert gateway.faults[fault] == 1
        assert any(line.startswith(f"{fault} (1): ") for line in gateway.log)
    good = function("PING", count=30)
    control.send(good)
    assert [subtype for subtype, _ in control.stages(good)] == [1, 7]
    reported = control.status(lambda status: status["telecommands"] == len(wrong) + 1)
    assert {fault for fault, count in reported["faults"].items() if count} == set(wrong)


@pytest.mark.parametrize(
    ("sent", "fault"),
    [(b"GET / HTTP/1.1\r\n\r\n", "FRAMING"), (function("PING")[:9], "TRUNCATED")],
)
def test_a_peer_that_sends_something_else_or_vanishes_does_not_disturb_the_others(
    gateway: _Running, control: MissionControl, sent: bytes, fault: str
) -> None:
    with MissionControl(gateway.gateway.address) as other:
        other.send(sent)
        if fault == "TRUNCATED":
            other.socket.shutdown(1)
        for _ in other.packets():  # until the gateway closes it
            pass
    wait_until(lambda: gateway.faults == {fault: 1})
    good = function("PING", count=30)
    control.send(good)
    assert [subtype for subtype, _ in control.stages(good)] == [1, 7]
    control.status(lambda status: status["peers"] == 1)


def test_a_service_that_does_not_answer_leaves_telecommands_open_and_the_queue_bounded(
    control: MissionControl, gateway: _Running
) -> None:
    raw = function("SELF_TEST", count=40)  # the stand-in accepts it, and never closes it
    control.send(raw)
    control.until(lambda packet: (packet.service, packet.message_subtype) == (1, 1))
    assert gateway.gateway.status().waiting == 1


def test_telemetry_that_fits_no_packet_is_dropped_and_named(
    flight: FlightStandIn, gateway: _Running, control: MissionControl
) -> None:
    record = RECORDS["sci.cloud_fraction"]
    large = msgspec.structs.replace(record, tile_map=bytes(65_400))
    flight.telemetry.publish("sci.cloud_fraction", large)
    control.status(lambda status: status["faults"]["NOT_ENCODED"] == 1)
    assert any("packet 1 of sci.cloud_fraction was dropped" in line for line in gateway.log)


def test_an_answer_of_a_newer_unit_is_dropped_after_its_stage(
    flight: FlightStandIn, gateway: _Running, control: MissionControl
) -> None:
    values = {"parameters": [{"name": "newer.parameter", "value": 1, "default": 2}]}
    flight.results["GET_PARAMETER"] = values
    raw = request(20, 1, b"\0", count=50)
    control.send(raw)
    assert [subtype for subtype, _ in control.stages(raw)] == [1, 7]
    control.status(lambda status: status["faults"]["NOT_ENCODED"] == 1)
    assert any("newer.parameter is not a parameter" in line for line in gateway.log)


def test_an_address_in_use_is_named(gateway: _Running, start: _Start, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be listened on .*--listen"):
        start(listen=gateway.gateway.address, counts=tmp_path / "more")


def test_the_status_has_the_structure_that_the_database_says(control: MissionControl) -> None:
    control.status(lambda status: status["peers"] == 1)
    assert control.raw[-1][6 + 15] == STATUS_STRUCTURE
