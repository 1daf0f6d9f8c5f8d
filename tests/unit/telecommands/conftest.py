from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from telecommands.keys import (
    SERVICE_KEY,
    certificate,
    generate_telecommand_key,
    publish_key_file,
    read_telecommand_key,
    unit_metadata,
)
from tests.unit.telecommands.flight_stand_in import UNIT, FlightStandIn


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    generate_telecommand_key(folder, "operator")
    publish_key_file(folder / SERVICE_KEY, certificate(b"0" * 40, unit_metadata(UNIT)))
    return folder


@pytest.fixture
def flight(keys: Path) -> Iterator[FlightStandIn]:
    with FlightStandIn(read_telecommand_key(keys / "operator.telecommand_key")) as service:
        yield service


@pytest.fixture
def options(flight: FlightStandIn, keys: Path, tmp_path: Path) -> list[str]:
    """How ``groundsim`` finds the stand-in, over plain links."""
    endpoints = flight.endpoints(tmp_path)
    return ["--keys", str(keys), "--endpoints", str(endpoints), "--no-curve"]
