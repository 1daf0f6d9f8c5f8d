"""A client does what its roles allow, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from telecommands.dictionary import Code, Stage
from telecommands.ground.downlink import DownlinkReceiver
from telecommands.ground.errors import NoAnswer
from telecommands.ground.telemetry import TelemetryClient
from tests.attacks.conftest import Attacked


@pytest.mark.parametrize("name", ["watcher", "receiver"])
def test_who_may_not_command_gets_no_telecommand_link(attacked: Attacked, name: str) -> None:
    with attacked.client(name) as client, pytest.raises(NoAnswer, match="the role command"):
        client.execute("OPEN_CONTACT", {"bytes": 10**6, "seconds": 60}, 1)
    assert attacked.operator_still_commands()


def test_who_only_watches_gets_no_downlink(attacked: Attacked, tmp_path: Path) -> None:
    endpoint = attacked.unit.endpoints["downlink"]
    with (
        DownlinkReceiver(endpoint, attacked.keys("watcher"), tmp_path) as receiver,
        pytest.raises(NoAnswer, match="the role receive"),
    ):
        receiver.receive_next(1)


def test_who_only_receives_gets_no_telemetry(attacked: Attacked) -> None:
    endpoint = attacked.unit.endpoints["telemetry"]
    with TelemetryClient(endpoint, attacked.keys("receiver"), ("hk",)) as client:
        assert not [*client.packets(1)]
    with attacked.unit.telemetry("hk") as client:
        assert next(client.packets(30))


def test_a_hazardous_telecommand_needs_its_role_scheduled_or_not(attacked: Attacked) -> None:
    hazardous = {"name": "SHUT_DOWN", "args": {}}
    with attacked.client("commander") as client:
        assert client.execute("PING").stage is Stage.COMPLETED
        for name, args in (
            ("SHUT_DOWN", {}),
            ("SCHEDULE", {"at": 2**62, "telecommand": hazardous}),
        ):
            answer = client.execute(name, args)
            assert (answer.stage, answer.code) == (Stage.REJECTED, Code.NOT_PERMITTED)
            assert "commander does not have the role hazardous" in answer.cause
    assert attacked.operator_still_commands()
