"""How many connections a link keeps open: of each client, of those unknown yet, and of all."""

from __future__ import annotations

import itertools
import os
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

import zmq
from zmq.utils.monitor import recv_monitor_message

from flightsw.host.send_budget import client_key

_EVENTS: Final = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED
_WAITING_EVENTS: Final = 100_000  # for the thread; ZeroMQ's own thread waits for room beyond
_A_TURN: Final = 1000  # events before the messages get their turn
_number: Final = itertools.count()  # of a monitor: an address is not free as soon as it is closed


class Limits(NamedTuple):
    """The most connections of a link at the same time.

    ``unknown``: whose client is unknown, because it has not sent a message that ZeroMQ let pass.
    """

    of_a_client: int = 16
    unknown: int = 64
    total: int = 256


LIMITS: Final = Limits()


@dataclass(eq=False)
class Connection:
    """An open connection; ``client`` is a public key (Z85), empty without CURVE, None: unknown."""

    descriptor: int
    client: str | None = None
    messages: int = 0


class Connections:
    """Decides which connection is too many; for one thread.

    ``is_open`` says whether a descriptor is still an open connection of the link.  A client over
    its limit loses the connection that it used last, so that it starves itself at most.  Of the
    unknown ones the oldest is closed: a handshake takes milliseconds.
    """

    def __init__(self, is_open: Callable[[int], bool], limits: Limits = LIMITS) -> None:
        self._is_open = is_open
        self._limits = limits
        self._unknown: dict[int, Connection] = {}  # oldest first; by descriptor, as the next
        self._known: dict[int, Connection] = {}

    def opened(self, descriptor: int) -> Connection | None:
        """A connection was accepted; one to close."""
        self.closed(descriptor)
        self._unknown[descriptor] = Connection(descriptor)
        if len(self._unknown) <= self._limits.unknown:
            return None
        return self._unknown.pop(next(iter(self._unknown)))

    def closed(self, descriptor: int) -> None:
        """A connection ended."""
        self._unknown.pop(descriptor, None)
        self._known.pop(descriptor, None)

    def heard(self, descriptor: int, client: str) -> tuple[Connection, Connection | None]:
        """A message of the client arrived: over which connection, and one to close."""
        connection = self._known.get(descriptor)
        too_many = None
        if connection is None or connection.client != client:
            self.closed(descriptor)
            connection = self._known[descriptor] = Connection(descriptor, client)
            too_many = self._too_many(connection)
        connection.messages += 1
        return connection, too_many

    def _too_many(self, latest: Connection) -> Connection | None:
        if not self._exceeded(latest):
            return None
        # An end that was not reported must not cost a client its connection.
        for descriptor in [one for one in self._known if not self._is_open(one)]:
            self.closed(descriptor)
        if not self._exceeded(latest):
            return None
        if not self._has_too_many(latest):
            counts = Counter(one.client for one in self._known.values())
            busiest = max(counts, key=lambda client: counts[client])
            latest = [one for one in self._known.values() if one.client == busiest][-1]
        self.closed(latest.descriptor)
        return latest

    def _exceeded(self, latest: Connection) -> bool:
        return self._has_too_many(latest) or len(self._known) > self._limits.total

    def _has_too_many(self, latest: Connection) -> bool:
        own = sum(one.client == latest.client for one in self._known.values())
        return latest.client != "" and own > self._limits.of_a_client


class ConnectionWatch:
    """Keeps the connections of a bound socket (TCP) within limits; for the socket's thread.

    ``refused`` is called with the public key of the client, empty if it is unknown, whenever a
    connection was closed because there were too many.
    """

    def __init__(self, watched: zmq.Socket[bytes], refused: Callable[[str], None]) -> None:
        self._watched = watched
        self._refused = refused
        self._connections = Connections(self._is_open)
        self._port = int(watched.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])
        name = f"inproc://connections-{next(_number)}"
        watched.monitor(name, _EVENTS)
        self._monitor: zmq.Socket[bytes] = watched.context.socket(zmq.PAIR)
        self._monitor.rcvhwm = _WAITING_EVENTS
        self._monitor.linger = 0
        self._monitor.connect(name)

    @property
    def monitor(self) -> zmq.Socket[bytes]:
        """Readable if there is something for :meth:`update`."""
        return self._monitor

    def update(self) -> None:
        """Take note of connections that opened and ended."""
        for _ in range(_A_TURN):
            if not int(self._monitor.get(zmq.EVENTS)) & zmq.POLLIN:
                return
            event = recv_monitor_message(self._monitor, zmq.NOBLOCK)
            if event["event"] == zmq.EVENT_ACCEPTED:
                self._close(self._connections.opened(event["value"]))
            else:
                self._connections.closed(event["value"])

    def heard(self, frame: zmq.Frame) -> Connection | None:
        """A frame of a message arrived; over which connection.

        None for a message that ZeroMQ made itself, such as the end of a subscription.
        """
        self.update()  # the descriptor may have been another connection's
        try:
            descriptor = int(frame.get(zmq.SRCFD))
        except zmq.ZMQError:
            return None
        client = client_key(frame).decode()
        connection, too_many = self._connections.heard(descriptor, client)
        self._close(too_many)
        return connection

    def refuse(self, connection: Connection) -> None:
        """Close a connection that asks for too much."""
        self._connections.closed(connection.descriptor)
        self._close(connection)

    def close(self) -> None:
        """Before the socket is closed: ZeroMQ's thread would wait for a monitor that nobody reads.

        Only for the thread that owns the socket.
        """
        self._watched.disable_monitor()
        self._monitor.close(linger=0)

    def _close(self, connection: Connection | None) -> None:
        """ZeroMQ cannot close one connection, but it notices that the descriptor was shut down."""
        if connection is None:
            return
        self._refused(connection.client or "")
        with suppress(OSError), _copy_of(connection.descriptor) as copy:
            if self._is_ours(copy):
                copy.shutdown(socket.SHUT_RDWR)

    def _is_open(self, descriptor: int) -> bool:
        try:
            with _copy_of(descriptor) as copy:
                return self._is_ours(copy)
        except OSError:
            return False

    def _is_ours(self, copy: socket.socket) -> bool:
        """Not a file or a connection of another link, if the number was used again meanwhile."""
        copy.getpeername()  # raises OSError for a socket without a peer
        address = copy.getsockname()
        return isinstance(address, tuple) and address[1] == self._port


def _copy_of(descriptor: int) -> socket.socket:
    """Raises OSError if it is closed, or is not a socket."""
    copy = os.dup(descriptor)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise
