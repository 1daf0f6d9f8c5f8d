"""Attacks on the telecommand and telemetry links by clients that may use them."""

from __future__ import annotations

from contextlib import ExitStack

import zmq

from deploy.rig.flight_unit import wait_until
from telecommands.auth import sign
from telecommands.dictionary import Stage, TelecommandBody
from tests.attacks.conftest import Attacked

_ANSWERS = 200
_REPLAYS = 3000
_MOST_GROWTH_BYTES = 60 << 20


def test_listeners_that_do_not_read_cost_little_memory(attacked: Attacked) -> None:
    long_text = "x" * 30_000
    entry = {"name": "PROCESS_SCENE", "args": {"scene": "none", "area": long_text}}
    with attacked.unit.client() as client:
        ids = [
            client.execute("SCHEDULE", {"at": 2**62 + n, "telecommand": entry}).data["entry"]
            for n in range(20)
        ]
    before = attacked.memory_bytes()
    with ExitStack() as opened:
        context = opened.enter_context(zmq.Context())
        deaf = opened.enter_context(context.socket(zmq.SUB))
        keys = attacked.keys("watcher")
        assert keys.curve is not None
        deaf.curve_publickey, deaf.curve_secretkey = keys.curve.public, keys.curve.secret
        deaf.curve_serverkey = keys.service_public or b""
        deaf.rcvhwm, deaf.linger = 1, 0
        deaf.connect(attacked.unit.endpoints["telemetry"])
        deaf.subscribe(b"")
        deaf.recv_multipart()  # connected; it reads no more
        flooding = opened.enter_context(attacked.dealer("commander", "telecommand"))
        key = attacked.keys("commander").telecommand
        assert key is not None
        first = attacked.sequence("commander")
        for number in range(_ANSWERS):
            body = TelecommandBody(
                id=f"list{number}", name="LIST_SCHEDULE", args={"limit": 20}, sent_at=0
            )
            flooding.send_multipart(sign(key, attacked.unit.unit, first + number, body))
        body = TelecommandBody(
            id="last", name="SET_HOUSEKEEPING_RATE", args={"period_s": 7}, sent_at=0
        )
        flooding.send_multipart(sign(key, attacked.unit.unit, first + _ANSWERS, body))
        attacked.skip_sequence("commander", first + _ANSWERS)
        wait_until(lambda: attacked.housekeeping_period() == 7)
        assert attacked.memory_bytes() - before < _MOST_GROWTH_BYTES
    with attacked.unit.client() as client:
        for entry_id in ids:
            assert client.execute("UNSCHEDULE", {"entry": entry_id}).stage is Stage.COMPLETED


def test_replays_use_up_nothing_of_their_victim(attacked: Attacked) -> None:
    key = attacked.unit.keys.telecommand
    assert key is not None
    number = attacked.sequence("operator")
    frames = sign(
        key, attacked.unit.unit, number, TelecommandBody(id="once", name="PING", sent_at=0)
    )
    with attacked.dealer("commander", "telecommand") as replaying:
        replaying.send_multipart(frames)
        for _ in range(3):
            replaying.recv()
        attacked.skip_sequence("operator", number + 1)
        for _ in range(_REPLAYS):
            replaying.send_multipart(frames)
        for _ in range(_REPLAYS // 2):  # by now they would have used up the rate of their victim
            replaying.recv()
        with attacked.unit.client() as client:
            answers = [client.execute("PING", {}, 60) for _ in range(15)]
        assert {answer.stage for answer in answers} == {Stage.COMPLETED}
