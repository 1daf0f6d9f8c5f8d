"""The TCP side: connections of mission-control systems, on one thread.

Every connection gets all telemetry and may send telecommands.  Nothing here waits for a peer: what
does not fit the queue of a peer that does not read is dropped, whole packets at a time.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from typing_extensions import Self

from telecommands.failure import reason_of
from telecommands.gateway.framing import FramingError, PacketSplitter
from telecommands.gateway.status import Fault
from telecommands.ground.errors import UsageError
from telecommands.ground.listening import listening_socket

MOST_PEERS: Final = 8
MOST_WAITING_BYTES: Final = 8 << 20
"""Telemetry kept for a peer that does not read."""

WHOLE_S: Final = 10.0
"""Time in which the rest of a telecommand packet must arrive."""

SILENT_S: Final = 60.0
"""A peer that takes no byte of waiting telemetry for this long is disconnected."""

_TICK_S: Final = 0.5
_READ_BYTES: Final = 64 * 1024
_PACKETS_A_CALL: Final = 64

PacketHandler = Callable[[bytes], None]
FaultHandler = Callable[[Fault, str], None]


class Peers:
    """A listening socket and its connections.  A context manager; :meth:`run` needs a thread.

    ``received`` is called with each packet, ``reported`` with each fault and what happened; both on
    that thread.  Raises :class:`UsageError` for an address that cannot be used.
    """

    def __init__(
        self, address: tuple[str, int], received: PacketHandler, reported: FaultHandler
    ) -> None:
        self._received, self._reported = received, reported
        self._listener = _listener(address)
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        for one in (self._listener, self._wake, self._woken):
            one.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._lock = threading.Lock()
        self._peers: list[_Peer] = []

    def __len__(self) -> int:
        return len(self._peers)

    def send(self, packets: Sequence[bytes]) -> None:
        """Queue packets for every connection; for any thread."""
        with self._lock:
            peers = list(self._peers)
        idle = [peer.queue(packets) for peer in peers]
        if any(idle):
            with suppress(BlockingIOError):  # it has been woken already
                self._wake.send(b"\0")

    def run(self, stop: threading.Event) -> None:
        """Serve until ``stop`` is set."""
        while not stop.is_set():
            for key, mask in self._selector.select(_TICK_S):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._woken:
                    self._woken.recv(_READ_BYTES)
                else:
                    self._serve(key.data, mask)
            for peer in list(self._peers):
                self._watch(peer, time.monotonic())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for peer in list(self._peers):
            self._close(peer)
        self._selector.close()
        for one in (self._listener, self._wake, self._woken):
            one.close()

    def _accept(self) -> None:
        try:
            connection, address = self._listener.accept()
        except OSError:  # it was closed before it was accepted
            return
        if len(self._peers) >= MOST_PEERS:
            connection.close()
            self._reported("TOO_MANY_PEERS", f"{address[0]}:{address[1]} was refused")
            return
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = _Peer(connection, f"{address[0]}:{address[1]}")
        self._selector.register(connection, selectors.EVENT_READ, peer)
        with self._lock:
            self._peers.append(peer)

    def _serve(self, peer: _Peer, mask: int) -> None:
        try:
            if mask & selectors.EVENT_READ:
                self._read(peer)
            if mask & selectors.EVENT_WRITE:
                peer.flush(time.monotonic())
        except FramingError as error:
            self._drop(peer, "FRAMING", str(error))
        except OSError as error:
            self._drop(peer, "PEER_LOST", reason_of(error))

    def _read(self, peer: _Peer) -> None:
        content = peer.connection.recv(_READ_BYTES)
        if not content:
            if peer.splitter.partial:
                self._drop(peer, "TRUNCATED", "it closed the connection within a packet")
            else:
                self._close(peer)
            return
        for packet in peer.splitter.take(content):
            self._received(packet)
        peer.whole_by = time.monotonic() + WHOLE_S if peer.splitter.partial else 0.0

    def _watch(self, peer: _Peer, now: float) -> None:
        """Deadlines of a connection, and whether it has something to write."""
        if dropped := peer.take_dropped():
            self._reported(
                "PEER_SLOW", f"{peer.name} does not read: {dropped} packets were dropped"
            )
        if peer.whole_by and now > peer.whole_by:
            self._drop(peer, "TRUNCATED", f"a packet was not whole after {WHOLE_S:g} s")
        elif peer.waiting and now > peer.taken_at + SILENT_S:
            self._drop(peer, "PEER_LOST", f"it took nothing for {SILENT_S:g} s")
        elif peer in self._peers:
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if peer.waiting else 0)
            if self._selector.get_key(peer.connection).events != wanted:
                self._selector.modify(peer.connection, wanted, peer)

    def _drop(self, peer: _Peer, fault: Fault, cause: str) -> None:
        self._close(peer)
        self._reported(fault, f"{peer.name} was disconnected: {cause}")

    def _close(self, peer: _Peer) -> None:
        with self._lock:
            if peer not in self._peers:
                return
            self._peers.remove(peer)
        self._selector.unregister(peer.connection)
        peer.connection.close()


class _Peer:
    """One connection; :meth:`queue` is for any thread, all else for that of the connections."""

    def __init__(self, connection: socket.socket, name: str) -> None:
        self.connection = connection
        self.name = name
        self.splitter = PacketSplitter()
        self.whole_by = 0.0
        self.taken_at = time.monotonic()
        self._lock = threading.Lock()
        self._packets: deque[bytes] = deque()
        self._bytes = 0
        self._dropped = 0
        self._rest = b""

    @property
    def waiting(self) -> bool:
        return self._bytes > 0

    def queue(self, packets: Sequence[bytes]) -> bool:
        """Whether the thread must be woken: nothing was waiting before."""
        with self._lock:
            idle = self._bytes == 0
            if idle:
                self.taken_at = time.monotonic()
            for packet in packets:
                if self._bytes + len(packet) > MOST_WAITING_BYTES:
                    self._dropped += 1
                    continue
                self._packets.append(packet)
                self._bytes += len(packet)
            return idle

    def flush(self, now: float) -> None:
        """Write what the connection takes."""
        while self.waiting:
            if not self._rest:
                with self._lock:
                    count = min(len(self._packets), _PACKETS_A_CALL)
                    self._rest = b"".join(self._packets.popleft() for _ in range(count))
            try:
                sent = self.connection.send(self._rest)
            except BlockingIOError:
                return
            self._rest, self.taken_at = self._rest[sent:], now
            with self._lock:
                self._bytes -= sent

    def take_dropped(self) -> int:
        """Packets dropped since the last call."""
        with self._lock:
            dropped, self._dropped = self._dropped, 0
            return dropped


def _listener(address: tuple[str, int]) -> socket.socket:
    try:
        return listening_socket(address)
    except OSError as error:
        cause = f"cannot be listened on ({reason_of(error)})"
        cure = "Choose another address with --listen (port 0: any free port)"
        raise UsageError("{}:{}".format(*address), cause, cure) from error
