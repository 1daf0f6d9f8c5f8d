"""One flight unit for all attacks, with a client of each role beside the operator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import zmq

from deploy.faults.attacks import attacked_unit
from deploy.rig.flight_unit import FlightUnit, wait_until
from telecommands.dictionary import OpenContact, ProductRecord, Role, Stage
from telecommands.ground.commanding import TelecommandClient
from telecommands.ground.connection import GroundKeys, read_ground_keys
from telecommands.ground.sequence import SequenceFile

_STEADY = 20  # looks at the memory
ROLES = {
    "watcher": {Role.WATCH},
    "receiver": {Role.RECEIVE},
    "another": {Role.RECEIVE},
    "commander": {Role.WATCH, Role.COMMAND, Role.RECEIVE},
}


@dataclass(frozen=True)
class Attacked:
    """A running unit with one product; every client has a telecommand key, whatever its roles."""

    unit: FlightUnit
    product: ProductRecord

    def keys(self, name: str) -> GroundKeys:
        return read_ground_keys(self.unit.ground, name)

    def client(self, name: str) -> TelecommandClient:
        sequence = SequenceFile(self.unit.ground / f"{name}.sequence")
        return TelecommandClient(self.unit.endpoints["telecommand"], self.keys(name), sequence)

    def sequence(self, name: str) -> int:
        """The next free sequence number of a client."""
        return SequenceFile(self.unit.ground / f"{name}.sequence").next()

    def skip_sequence(self, name: str, highest: int) -> None:
        """Numbers up to this one were used without the client's file."""
        SequenceFile(self.unit.ground / f"{name}.sequence").advance(highest)

    def open_files(self) -> int:
        """Files and connections that the service has open."""
        assert self.unit.process is not None
        return len(list(Path(f"/proc/{self.unit.process.pid}/fd").iterdir()))

    def memory_bytes(self) -> int:
        """Resident memory of the service."""
        assert self.unit.process is not None
        status = Path(f"/proc/{self.unit.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    def wait_until_memory_is_steady(self) -> None:
        """Until nothing more is queued for clients that do not read."""
        seen = [0]

        def steady() -> bool:
            seen.append(self.memory_bytes())
            return len(set(seen[-_STEADY:])) == 1 and len(seen) > _STEADY

        wait_until(steady)

    def housekeeping_period(self) -> float:
        """The parameter, which a telecommand of the attack may set."""
        answer = self.unit.execute("GET_PARAMETER", name="housekeeping.period_s")
        return float(answer.data["parameters"][0]["value"])

    def open_contact(self) -> None:
        contact = self.unit.execute(OpenContact.NAME, bytes=2**40, seconds=3600)
        assert contact.stage is Stage.COMPLETED

    def dealer(self, name: str, link: str) -> zmq.Socket[bytes]:
        """A bare socket of the client, which reads only what a test reads; the caller closes it."""
        keys = self.keys(name)
        assert keys.curve is not None
        socket = zmq.Context.instance().socket(zmq.DEALER)
        socket.rcvtimeo = socket.sndtimeo = 60_000
        socket.linger = 0
        socket.rcvhwm = 1
        socket.rcvbuf = 1 << 18
        socket.curve_publickey, socket.curve_secretkey = keys.curve.public, keys.curve.secret
        socket.curve_serverkey = keys.service_public or b""
        socket.connect(self.unit.endpoints[link])
        return socket

    def operator_still_commands(self) -> bool:
        return self.unit.execute("PING").stage is Stage.COMPLETED


@pytest.fixture(scope="session")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    with attacked_unit(tmp_path_factory.mktemp("attacked") / "unit", ROLES) as (unit, product):
        assert unit.execute("PING").stage is Stage.COMPLETED
        yield Attacked(unit, product)
        assert unit.stop() == 0
