"""The three ZeroMQ endpoints: bound, encrypted, and open to authorised keys only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import zmq
from zmq.auth.thread import ThreadAuthenticator

from flightsw.config import ServiceSettings
from flightsw.downlink.link import prepare_socket
from flightsw.errors import LinkError
from flightsw.host.disk import write_whole
from flightsw.keys import KeyFolder
from flightsw.telemetry.link import configure_publisher
from telecommands.dictionary import MAX_BODY_BYTES
from telecommands.keys import CurvePair

ENDPOINTS_FILE: Final = "endpoints.json"

_EVERY_DOMAIN: Final = "*"
_LONGEST_MESSAGE: Final = 4 * MAX_BODY_BYTES  # above it the line is cut; a refusal is clearer
_WAITING: Final = 256  # messages a peer
_HANDSHAKE_MS: Final = 5_000
_LINGER_MS: Final = 500
_CONTROL, _BULK = 1, 2  # I/O threads, as bits: encrypting products delays no telecommand


@dataclass(frozen=True)
class Endpoints:
    """The addresses at which the service listens."""

    telecommand: str
    telemetry: str
    downlink: str


@dataclass(frozen=True)
class FlightSockets:
    """Bound sockets, ready for their links, which close them."""

    telecommand: zmq.Socket[bytes]
    telemetry: zmq.Socket[bytes]
    downlink: zmq.Socket[bytes]
    endpoints: Endpoints
    authenticating: Callable[[], bool]
    """Whether the thread that lets clients in still runs."""


@contextmanager
def open_sockets(
    settings: ServiceSettings, keys: KeyFolder
) -> Iterator[tuple[FlightSockets, Callable[[], None]]]:
    """Bind the endpoints; the callable reads the folder of authorised keys again.

    Raises :class:`LinkError` for a port in use and for keys that are missing or unsafe.
    """
    pair = keys.service_pair() if settings.curve else None
    context = zmq.Context(io_threads=2)
    authenticator: ThreadAuthenticator | None = None
    try:
        if pair:
            authenticator = ThreadAuthenticator(context)
            authenticator.start()

        def read_keys() -> None:
            if authenticator:
                authenticator.configure_curve(_EVERY_DOMAIN, str(keys.authorised_folder))

        read_keys()
        authenticating = authenticator.is_alive if authenticator else lambda: True
        yield _bound(context, settings, pair, authenticating), read_keys
    finally:
        if authenticator:
            if not authenticator.is_alive():  # its stop() would wait without end
                authenticator.pipe.close(linger=0)
                authenticator.pipe = None  # type: ignore[assignment]
            authenticator.stop()
        context.destroy(linger=0)


def write_endpoints(folder: Path, endpoints: Endpoints) -> None:
    """Publish the service's addresses to clients on this machine."""
    content = json.dumps(asdict(endpoints), indent=2) + "\n"
    write_whole(folder / ENDPOINTS_FILE, content.encode())


def _bound(
    context: zmq.Context[zmq.Socket[bytes]],
    settings: ServiceSettings,
    pair: CurvePair | None,
    authenticating: Callable[[], bool],
) -> FlightSockets:
    telecommand = context.socket(zmq.ROUTER)
    telecommand.set(zmq.MAXMSGSIZE, _LONGEST_MESSAGE)
    telecommand.set(zmq.SNDHWM, _WAITING)
    telecommand.set(zmq.RCVHWM, _WAITING)
    telecommand.set(zmq.LINGER, _LINGER_MS)
    telemetry = context.socket(zmq.XPUB)
    configure_publisher(telemetry)
    downlink = context.socket(zmq.ROUTER)
    prepare_socket(downlink)
    for socket in (telecommand, telemetry):
        socket.set(zmq.AFFINITY, _CONTROL)
    downlink.set(zmq.AFFINITY, _BULK)
    endpoints = [
        _bind(socket, pair, settings.host, port)
        for socket, port in (
            (telecommand, settings.telecommand_port),
            (telemetry, settings.telemetry_port),
            (downlink, settings.downlink_port),
        )
    ]
    return FlightSockets(telecommand, telemetry, downlink, Endpoints(*endpoints), authenticating)


def _bind(socket: zmq.Socket[bytes], pair: CurvePair | None, host: str, port: int) -> str:
    socket.set(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
    if pair:
        socket.set(zmq.CURVE_SERVER, 1)
        socket.set(zmq.CURVE_PUBLICKEY, pair.public)
        socket.set(zmq.CURVE_SECRETKEY, pair.secret)
    wanted = f"tcp://{host}:{port or '*'}"
    try:
        socket.bind(wanted)
    except zmq.ZMQError as error:
        cure = "Stop the program that listens there, or set service.host and the ports"
        raise LinkError(wanted, f"cannot be bound ({error.strerror})", cure) from error
    return socket.getsockopt_string(zmq.LAST_ENDPOINT)
