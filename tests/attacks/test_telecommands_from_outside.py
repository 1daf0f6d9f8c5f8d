"""What an attacker sends to a running service, and what the service then does; bounded in count.

All frames go over real links: the attacker has what an insider may have, a key of another unit, or
a telecommand that was overheard.
"""

from __future__ import annotations

import hmac
import itertools
import random
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import zmq

from deploy.rig.flight_unit import FlightUnit, flight_unit, wait_until
from flightsw.keys import KeyFolder
from telecommands.auth import TelecommandKey, sign
from telecommands.codec import decode_as
from telecommands.dictionary import (
    PARAMETERS,
    TELECOMMANDS,
    Code,
    Housekeeping,
    Stage,
    TelecommandBody,
    Verification,
)
from telecommands.ground.connection import Connection, read_ground_keys
from telecommands.keys import generate_curve_pair, generate_telecommand_key

_ANSWER_S: Final = 30.0
_MUTATED: Final = 300
_HAZARDOUS: Final[Mapping[str, dict[str, Any]]] = {
    "SET_MODE": {"mode": "STANDBY"},
    "DELETE_PRODUCT": {"product": "x"},
    "ACTIVATE_MODEL": {"model": "x"},
    "ROLL_BACK_MODEL": {},
    "RESTART": {},
    "SHUT_DOWN": {},
}


class Attacker:
    """Sends frames of its own making over one link, with one telecommand key."""

    def __init__(self, unit: FlightUnit, name: str) -> None:
        keys = read_ground_keys(unit.ground, name)
        assert keys.telecommand is not None
        self.key: TelecommandKey = keys.telecommand
        self.unit = keys.unit
        self.number = itertools.count(1)
        self._ids = itertools.count()
        self.link = Connection(zmq.DEALER, unit.endpoints["telecommand"], keys)

    def body(self, name: str, args: Mapping[str, Any] | None = None, **fields: Any) -> Any:
        id_ = f"{self.key.key_id}-{next(self._ids)}"
        given = {"id": id_, "name": name, "args": dict(args or {}), "sent_at": time.time_ns()}
        return TelecommandBody(**{**given, **fields})

    def ask(self, *frames: bytes) -> Verification:
        """The closing stage of what these frames ask for."""
        self.link.send(*frames)
        while True:
            received = self.link.receive(time.monotonic() + _ANSWER_S)
            assert received is not None
            stage: Verification = decode_as(Verification, received[-1].bytes, "the answer")
            if stage.stage.closes:
                return stage

    def send(self, body: TelecommandBody) -> Verification:
        return self.ask(*sign(self.key, self.unit, next(self.number), body))


@pytest.fixture(scope="module")
def unit(tmp_path_factory: pytest.TempPathFactory, small_package: Path) -> Iterator[FlightUnit]:
    folder = tmp_path_factory.mktemp("attacked")
    with flight_unit(folder / "unit", unit="sat-a", package=small_package) as unit:
        for name in ("alpha", "beta"):
            generate_curve_pair(unit.ground, name)
            secret = generate_telecommand_key(unit.ground, name)
            KeyFolder(unit.state / "keys").authorise(unit.ground / f"{name}.key", secret)
        unit.start()
        yield unit


@pytest.fixture(scope="module")
def alpha(unit: FlightUnit) -> Iterator[Attacker]:
    attacker = Attacker(unit, "alpha")
    yield attacker
    attacker.link.close()


@pytest.fixture(scope="module")
def beta(unit: FlightUnit) -> Iterator[Attacker]:
    attacker = Attacker(unit, "beta")
    yield attacker
    attacker.link.close()


def test_a_telecommand_for_another_unit_does_not_run_whatever_is_written_over_it(
    alpha: Attacker,
) -> None:
    body = alpha.body("PING")
    header, frame = sign(alpha.key, "sat-b", next(alpha.number), body)
    answer = alpha.ask(header, frame)
    assert (answer.stage, answer.code) == (Stage.REJECTED, Code.WRONG_UNIT)
    fields = msgspec.msgpack.decode(header)
    renamed = msgspec.msgpack.encode([fields[0], "sat-a", *fields[2:]])
    answer = alpha.ask(renamed, frame)
    assert (answer.stage, answer.code) == (Stage.REJECTED, Code.BAD_MAC)
    assert alpha.send(body).stage is Stage.COMPLETED  # neither used up its id


def test_an_overheard_frame_of_version_1_is_refused_for_its_version(alpha: Attacker) -> None:
    body = msgspec.msgpack.encode(alpha.body("SHUT_DOWN"))
    key_id, number = alpha.key.key_id.encode(), next(alpha.number)
    signed = struct.pack(">BQH", 1, number, len(key_id)) + key_id + body
    code = hmac.digest(alpha.key.secret, signed, "sha256")
    header = msgspec.msgpack.encode([1, alpha.key.key_id, number, code])
    answer = alpha.ask(header, body)
    assert (answer.stage, answer.code) == (Stage.REJECTED, Code.WRONG_VERSION)


def test_nothing_hazardous_runs_unless_its_own_key_armed_it(
    unit: FlightUnit, alpha: Attacker, beta: Attacker
) -> None:
    assert set(_HAZARDOUS) == {name for name, kind in TELECOMMANDS.items() if kind.HAZARDOUS}
    at = time.time_ns() + 10**12
    attempts = [
        *_HAZARDOUS.items(),
        *(
            ("SET_PARAMETER", {"name": name, "value": None})
            for name, one in PARAMETERS.items()
            if one.hazardous
        ),
        ("SCHEDULE", {"at": at, "telecommand": {"name": "SHUT_DOWN", "args": {}}}),
    ]
    armed = alpha.send(alpha.body("ARM", {"telecommand": {"name": "SHUT_DOWN", "args": {}}}))
    assert armed.stage is Stage.COMPLETED
    others = alpha.send(alpha.body("ARM", {"telecommand": {"name": "RESTART", "args": {}}}))
    for name, args in attempts:
        arms = [None, "0000000000000000", others.data["arm"] if name != "RESTART" else None]
        for arm in arms:
            answer = alpha.send(alpha.body(name, args, arm=arm))
            assert (answer.stage, answer.code) == (Stage.REJECTED, Code.NOT_ARMED), (name, arm)
    stolen = beta.send(beta.body("SHUT_DOWN", arm=armed.data["arm"]))
    assert (stolen.stage, stolen.code) == (Stage.REJECTED, Code.NOT_ARMED)
    assert unit.execute("PING").data["mode"] == "OPERATIONAL"
    assert unit.execute("LIST_SCHEDULE").data["entries"] == []
    # The same by the way that is meant for it: it is the arm that was missing.
    assert unit.execute("SET_PARAMETER", name="fdir.hot_c", value=84.0).stage is Stage.COMPLETED
    assert unit.execute("SET_PARAMETER", name="fdir.hot_c", value=None).stage is Stage.COMPLETED


def test_an_arm_fires_once(alpha: Attacker) -> None:
    args = {"name": "fdir.warm_c", "value": 79.0}
    armed = alpha.send(alpha.body("ARM", {"telecommand": {"name": "SET_PARAMETER", "args": args}}))
    arm = armed.data["arm"]
    codes = [alpha.send(alpha.body("SET_PARAMETER", args, arm=arm)).code for _ in range(2)]
    assert codes == [None, Code.NOT_ARMED]


def test_the_id_of_another_key_does_not_answer_for_a_telecommand(
    unit: FlightUnit, alpha: Attacker, beta: Attacker
) -> None:
    assert beta.send(beta.body("PING", id="taken")).stage is Stage.COMPLETED
    args = {"name": "processing.attempts", "value": 7}
    answer = alpha.send(alpha.body("SET_PARAMETER", args, id="taken"))
    assert (answer.name, answer.stage) == ("SET_PARAMETER", Stage.COMPLETED)
    (read,) = unit.execute("GET_PARAMETER", name="processing.attempts").data["parameters"]
    assert read["value"] == 7
    assert beta.send(beta.body("PING", id="taken")).name == "PING"


def test_a_frame_that_differs_in_any_bit_is_rejected_and_never_runs(
    unit: FlightUnit, alpha: Attacker
) -> None:
    choice = random.Random(20_261_129)
    before = unit.execute("GET_PARAMETER", name="processing.waiting_jobs").data
    body = alpha.body("SET_PARAMETER", {"name": "processing.waiting_jobs", "value": 1})
    header, frame = sign(alpha.key, alpha.unit, next(alpha.number), body)
    for _ in range(_MUTATED):
        frames = [bytearray(header), bytearray(frame)]
        damaged = choice.choice(frames)
        damaged[choice.randrange(len(damaged))] ^= 1 << choice.randrange(8)
        answer = alpha.ask(*map(bytes, frames))
        assert answer.stage is Stage.REJECTED
        assert answer.code is not None
    assert unit.execute("GET_PARAMETER", name="processing.waiting_jobs").data == before


def test_what_was_held_back_runs_only_while_the_clock_is_not_trusted(
    unit: FlightUnit, alpha: Attacker
) -> None:
    def checks() -> bool:
        unit.execute("REPORT_LATEST")
        with unit.telemetry("hk") as telemetry:
            _, _, packet = next(telemetry.packets(_ANSWER_S))
        assert isinstance(packet, Housekeeping)
        assert packet.clock_trusted == packet.sent_at_checked
        return packet.sent_at_checked

    unit.execute("SET_HOUSEKEEPING_RATE", period_s=0.2)
    yesterday = time.time_ns() - 86_400 * 10**9
    assert not checks()
    assert alpha.send(alpha.body("PING", sent_at=yesterday)).stage is Stage.COMPLETED
    unit.clock_file.touch()
    answer = alpha.send(alpha.body("PING", sent_at=yesterday))
    assert (answer.stage, answer.code) == (Stage.REJECTED, Code.WRONG_TIME)
    assert abs(answer.data["t"] - time.time_ns()) < 300 * 10**9
    assert alpha.send(alpha.body("PING")).stage is Stage.COMPLETED
    wait_until(checks)
    unit.clock_file.unlink()


def test_packets_and_endpoints_bear_the_name_of_the_unit(unit: FlightUnit) -> None:
    with unit.telemetry() as telemetry:
        _, packet, _ = next(telemetry.packets(_ANSWER_S))
    assert packet.unit == "sat-a"
    started = unit.events("listening")[-1]
    assert started["unit"] == unit.endpoints["unit"] == "sat-a"
