"""One flight unit for all attacks, with a client of each role beside the operator."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.rig.flight_unit import FlightUnit, flight_unit, wait_until
from flightsw.downlink.catalogue import NewProduct, ProductCatalogue
from flightsw.keys import KeyFolder
from flightsw.state import StateFile
from telecommands.dictionary import Role, Stage
from telecommands.ground.commanding import TelecommandClient
from telecommands.ground.connection import GroundKeys, read_ground_keys
from telecommands.ground.sequence import SequenceFile
from telecommands.keys import generate_curve_pair, generate_telecommand_key

PRODUCT_BYTES = 3 << 20
ROLES = {
    "watcher": {Role.WATCH},
    "receiver": {Role.RECEIVE},
    "another": {Role.RECEIVE},
    "commander": {Role.WATCH, Role.COMMAND, Role.RECEIVE},
}


@dataclass(frozen=True)
class Attacked:
    """A running unit; every client has a telecommand key, whatever its roles."""

    unit: FlightUnit

    def keys(self, name: str) -> GroundKeys:
        return read_ground_keys(self.unit.ground, name)

    def client(self, name: str) -> TelecommandClient:
        sequence = SequenceFile(self.unit.ground / f"{name}.sequence")
        return TelecommandClient(self.unit.endpoints["telecommand"], self.keys(name), sequence)

    def operator_still_commands(self) -> bool:
        return self.unit.execute("PING").stage is Stage.COMPLETED


def add_product(state_dir: Path) -> None:
    """One product of 3 MB on board, as a job would have left it."""
    path = state_dir / "products" / "J1" / "mask.bin"
    path.parent.mkdir(parents=True)
    content = bytes(range(256)) * (PRODUCT_BYTES // 256)
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    with StateFile(state_dir) as state:
        new = NewProduct("mask", path, len(content), digest, 0.5)
        ProductCatalogue(state).add("J1", [new], time.time_ns())


@pytest.fixture(scope="session")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    folder: Path = tmp_path_factory.mktemp("attacked")
    with flight_unit(folder / "unit") as unit:
        for name, roles in ROLES.items():
            generate_curve_pair(unit.ground, name)
            secret = generate_telecommand_key(unit.ground, name)
            KeyFolder(unit.state / "keys").authorise(
                unit.ground / f"{name}.key", secret, roles=frozenset(roles)
            )
        add_product(unit.state)
        unit.start(wait=False)  # the links serve while the engine is opened
        wait_until((unit.state / "endpoints.json").exists, 120)
        assert unit.execute("PING").stage is Stage.COMPLETED
        yield Attacked(unit)
        assert unit.stop() == 0
