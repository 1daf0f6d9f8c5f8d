"""The three ZeroMQ endpoints: bound, encrypted, and open to authorised keys only."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import zmq
from zmq.auth.thread import ThreadAuthenticator

from flightsw.config import ServiceSettings
from flightsw.downlink.link import prepare_socket
from flightsw.errors import LinkError
from flightsw.host.send_budget import COUNTED_BYTES
from flightsw.host.socket_thread import BoundSocket, Rebind
from flightsw.keys import KeyFolder
from flightsw.telemetry.link import configure_publisher
from telecommands.dictionary import MAX_BODY_BYTES, Role
from telecommands.keys import CurvePair
from telecommands.whole_file import write_whole

ENDPOINTS_FILE: Final = "endpoints.json"

_LONGEST_MESSAGE: Final = 4 * MAX_BODY_BYTES  # above it the line is cut; a refusal is clearer
_WAITING: Final = 256  # messages a peer
_HANDSHAKE_MS: Final = 5_000
_LINGER_MS: Final = 500
_PEER_CHECK_MS: Final = 10_000
_PEER_GONE_MS: Final = 30_000
_PORT_SECONDS: Final = 5.0  # until the port of a socket that was closed is free again
_PORT_CHECK_SECONDS: Final = 0.01
_LINK_ROLES: Final = (Role.COMMAND, Role.WATCH, Role.RECEIVE)
_CONTROL, _BULK = 1, 2  # I/O threads, as bits: encrypting products delays no telecommand


@dataclass(frozen=True)
class Endpoints:
    """The name of the unit, and the addresses at which the service listens."""

    unit: str
    telecommand: str
    telemetry: str
    downlink: str


@dataclass(frozen=True)
class LinkSocket:
    """A bound socket, ready for its link, which closes it, and how to bind it once more."""

    socket: BoundSocket
    rebind: Rebind


@dataclass(frozen=True)
class FlightSockets:
    """The sockets of the three links."""

    telecommand: LinkSocket
    telemetry: LinkSocket
    downlink: LinkSocket
    endpoints: Endpoints
    authenticating: Callable[[], bool]
    """Whether the thread that lets clients in still runs."""


@contextmanager
def open_sockets(
    settings: ServiceSettings,
    unit: str,
    keys: KeyFolder,
    lets_in: Callable[[bytes, Role], bool],
) -> Iterator[FlightSockets]:
    """Bind the endpoints; ``lets_in`` decides about a client's key whenever it connects.

    It is asked with the public key and the role that the link needs.

    Raises :class:`LinkError` for a port in use, for links without CURVE beyond the loopback, and
    for a pair of the service that is missing or unsafe.
    """
    _require_protection(settings)
    pair = keys.service_pair() if settings.curve else None
    context = zmq.Context(io_threads=2)
    authenticator: ThreadAuthenticator | None = None
    try:
        if pair:
            authenticator = ThreadAuthenticator(context)
            authenticator.start()
            for role in _LINK_ROLES:  # each link is a domain of its own
                authenticator.configure_curve_callback(role.value, _Gatekeeper(lets_in))
        authenticating = authenticator.is_alive if authenticator else lambda: True
        yield _bound(context, settings, unit, pair, authenticating)
    finally:
        if authenticator:
            if not authenticator.is_alive():  # its stop() would wait without end
                authenticator.pipe.close(linger=0)
                authenticator.pipe = None  # type: ignore[assignment]
            authenticator.stop()
        context.destroy(linger=0)


def _require_protection(settings: ServiceSettings) -> None:
    if settings.curve or settings.unprotected_network or _is_loopback(settings.host):
        return
    raise LinkError(
        f"service.host {settings.host}",
        "is not the loopback interface, and service.curve is false",
        "Set service.curve to true; or service.unprotected_network, if others protect that network",
    )


def _is_loopback(host: str) -> bool:
    """A name other than localhost may be any address."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class _Gatekeeper:
    """What the authenticator asks about each client that connects."""

    def __init__(self, lets_in: Callable[[bytes, Role], bool]) -> None:
        self._lets_in = lets_in

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether the client with this key (Z85) is let in."""
        return self._lets_in(key, Role(domain))


def write_endpoints(folder: Path, endpoints: Endpoints) -> None:
    """Publish the service's addresses to clients on this machine."""
    content = json.dumps(asdict(endpoints), indent=2) + "\n"
    write_whole(folder / ENDPOINTS_FILE, content.encode())


def _bound(
    context: zmq.Context[zmq.Socket[bytes]],
    settings: ServiceSettings,
    unit: str,
    pair: CurvePair | None,
    authenticating: Callable[[], bool],
) -> FlightSockets:
    def link(
        kind: int, role: Role, affinity: int, port: int, prepare: Callable[[BoundSocket], None]
    ) -> LinkSocket:
        def opened(endpoint: str, patience_s: float) -> BoundSocket:
            socket = context.socket(kind)
            socket.set(zmq.AFFINITY, affinity)
            prepare(socket)
            _secure(socket, pair, role)
            _bind(socket, endpoint, patience_s)
            return socket

        socket = opened(f"tcp://{settings.host}:{port or '*'}", 0.0)
        return LinkSocket(socket, partial(opened, _endpoint(socket), _PORT_SECONDS))

    command, watch, receive = _LINK_ROLES
    telecommand = link(
        zmq.ROUTER, command, _CONTROL, settings.telecommand_port, _prepare_telecommands
    )
    telemetry = link(zmq.XPUB, watch, _CONTROL, settings.telemetry_port, configure_publisher)
    downlink = link(zmq.ROUTER, receive, _BULK, settings.downlink_port, prepare_socket)
    links = (telecommand, telemetry, downlink)
    endpoints = Endpoints(unit, *(_endpoint(one.socket) for one in links))
    return FlightSockets(telecommand, telemetry, downlink, endpoints, authenticating)


def _prepare_telecommands(socket: BoundSocket) -> None:
    socket.set(zmq.MAXMSGSIZE, _LONGEST_MESSAGE)
    socket.set(zmq.SNDHWM, _WAITING)
    socket.set(zmq.RCVHWM, _WAITING)
    socket.set(zmq.LINGER, _LINGER_MS)
    socket.set(zmq.HEARTBEAT_IVL, _PEER_CHECK_MS)  # frees the memory of a peer that vanished
    socket.set(zmq.HEARTBEAT_TIMEOUT, _PEER_GONE_MS)
    socket.copy_threshold = COUNTED_BYTES


def _secure(socket: BoundSocket, pair: CurvePair | None, role: Role) -> None:
    socket.set(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
    if pair:
        socket.set_string(zmq.ZAP_DOMAIN, role.value)
        socket.set(zmq.CURVE_SERVER, 1)
        socket.set(zmq.CURVE_PUBLICKEY, pair.public)
        socket.set(zmq.CURVE_SECRETKEY, pair.secret)


def _bind(socket: BoundSocket, wanted: str, patience_s: float) -> None:
    """Bind; the port of a socket that was just closed becomes free a moment later."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            socket.bind(wanted)
        except zmq.ZMQError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(_PORT_CHECK_SECONDS)
                continue
            socket.close(linger=0)
            cure = "Stop the program that listens there, or set service.host and the ports"
            raise LinkError(wanted, f"cannot be bound ({error.strerror})", cure) from error
        return


def _endpoint(socket: BoundSocket) -> str:
    return socket.getsockopt_string(zmq.LAST_ENDPOINT)
