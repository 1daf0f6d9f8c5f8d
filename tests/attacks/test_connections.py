"""Attacks by the number of connections: of clients that may have some, and of strangers."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import zmq

from deploy.rig.flight_unit import wait_until
from flightsw.host.connections import LIMITS
from telecommands.auth import sign
from telecommands.dictionary import Stage, TelecommandBody
from tests.attacks.conftest import Attacked

_MORE = 24  # than are allowed


def _refused(attacked: Attacked) -> set[tuple[str, str]]:
    """Links and clients of which a connection was closed."""
    fields = [line["fields"] for line in attacked.unit.events("CONNECTIONS_REFUSED")]
    return {(one["link"], one["key_id"]) for one in fields}


def test_neither_a_client_nor_a_stranger_takes_the_connections_of_others(
    attacked: Attacked,
) -> None:
    with ExitStack() as opened:
        watching = opened.enter_context(attacked.unit.telemetry("hk"))
        assert next(watching.packets(30))
        commanding = opened.enter_context(attacked.unit.client())
        assert commanding.execute("PING", {}, 60).stage is Stage.COMPLETED
        before = attacked.open_files()
        context = opened.enter_context(zmq.Context())
        context.linger = 0
        keys = attacked.keys("commander")
        assert keys.curve is not None
        assert keys.telecommand is not None
        number = attacked.sequence("commander")
        frames = sign(
            keys.telecommand,
            attacked.unit.unit,
            number,
            TelecommandBody(id="many", name="PING", sent_at=0),
        )
        for kind, link in ((zmq.DEALER, "telecommand"), (zmq.SUB, "telemetry")):
            for _ in range(LIMITS.of_a_client + _MORE):
                one = opened.enter_context(context.socket(kind))
                one.curve_publickey, one.curve_secretkey = keys.curve.public, keys.curve.secret
                one.curve_serverkey = keys.service_public or b""
                one.reconnect_ivl = -1
                one.connect(attacked.unit.endpoints[link])
                if kind == zmq.SUB:
                    one.subscribe(b"hk")
                else:
                    one.send_multipart(frames)
        host, port = attacked.unit.endpoints["downlink"].removeprefix("tcp://").split(":")
        for _ in range(LIMITS.unknown + _MORE):
            opened.enter_context(socket.create_connection((host, int(port)), timeout=30))
        expected = {("telecommand", "commander"), ("telemetry", "commander"), ("downlink", "")}
        wait_until(lambda: _refused(attacked) >= expected)
        most = 2 * LIMITS.of_a_client + LIMITS.unknown
        wait_until(lambda: attacked.open_files() <= before + most)
        assert commanding.execute("PING", {}, 60).stage is Stage.COMPLETED
        again = attacked.unit.execute("REPORT_LATEST", topics=("hk",))  # with a new connection
        assert again.stage is Stage.COMPLETED
        assert next(watching.packets(30))
