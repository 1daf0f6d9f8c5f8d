from __future__ import annotations

import pytest
import zmq

from telecommands.auth import TelecommandKey
from telecommands.ground.connection import GroundKeys
from telecommands.keys import CurvePair
from tests.unit.telecommands.flight_stand_in import UNIT


@pytest.fixture(scope="session")
def service_pair() -> CurvePair:
    return CurvePair(*zmq.curve_keypair())


@pytest.fixture(scope="session")
def keys(service_pair: CurvePair) -> GroundKeys:
    return GroundKeys(
        curve=CurvePair(*zmq.curve_keypair()),
        service_public=service_pair.public,
        telecommand=TelecommandKey("alice", bytes(range(32))),
        unit=UNIT,
    )


@pytest.fixture(scope="session")
def plain(keys: GroundKeys) -> GroundKeys:
    return GroundKeys(telecommand=keys.telecommand, unit=keys.unit)
