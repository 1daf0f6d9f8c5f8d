"""What a client learns of the other end while it waits: who is there, and why it is not let in."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import zmq

from deploy.rig.flight_unit import wait_until
from telecommands.dictionary import Role
from telecommands.ground.connection import Connection, GroundKeys
from telecommands.ground.handshake import MISMATCH, NOBODY, REFUSED, SILENT, Finding, with_role
from telecommands.keys import CurvePair
from tests.unit.telecommands.simulated_links import AnsweringSocket

_DEADLINE_S = 20.0


def _connection(endpoint: str, keys: GroundKeys) -> Connection:
    return Connection(zmq.DEALER, endpoint, keys, monitored=True)


def _wait_for(connection: Connection, wanted: Finding) -> None:
    wait_until(lambda: (found := connection.finding) and found.cause == wanted.cause, _DEADLINE_S)


def _service(pair: CurvePair | None, *authorised: bytes) -> AnsweringSocket:
    return AnsweringSocket(lambda frames: (), pair=pair, authorised=authorised)


def test_a_service_that_lets_it_in_is_there_until_it_goes(
    keys: GroundKeys, service_pair: CurvePair
) -> None:
    assert keys.curve is not None
    with _service(service_pair, keys.curve.public) as service:
        connection = _connection(service.endpoint, keys)
        _wait_for(connection, SILENT)
    with connection:
        _wait_for(connection, NOBODY)


def test_a_key_that_is_not_authorised_is_refused_for_good(
    keys: GroundKeys, service_pair: CurvePair
) -> None:
    with _service(service_pair) as service, _connection(service.endpoint, keys) as connection:
        _wait_for(connection, with_role(REFUSED, Role.COMMAND))
    assert REFUSED.is_final


def test_another_key_of_the_service_or_none_does_not_fit(keys: GroundKeys) -> None:
    stranger = CurvePair(*zmq.curve_keypair())
    with _service(stranger) as service, _connection(service.endpoint, keys) as connection:
        _wait_for(connection, MISMATCH)
    with _service(stranger) as service, _connection(service.endpoint, GroundKeys()) as connection:
        _wait_for(connection, MISMATCH)
    with _service(None) as service, _connection(service.endpoint, keys) as connection:
        _wait_for(connection, MISMATCH)


@pytest.fixture
def web_server() -> Iterator[str]:
    """Something else than the service: it answers, but not in this language."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as asked:
                asked.recv(100)
                asked.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        thread.join(_DEADLINE_S)


def test_something_else_that_listens_there_does_not_fit(keys: GroundKeys, web_server: str) -> None:
    with _connection(web_server, keys) as connection:
        _wait_for(connection, MISMATCH)


def test_nothing_is_known_before_and_without_a_monitor(keys: GroundKeys) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with _connection(endpoint, keys) as connection:
            assert connection.finding is None
        with Connection(zmq.DEALER, endpoint, keys) as connection:
            assert connection.finding is None
