"""A thread that owns a ZeroMQ socket: how it sleeps, is woken and ends."""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, TypeAlias

import zmq

from flightsw.host.connections import Connection, ConnectionWatch
from flightsw.host.service_thread import ServiceThread

_CLOSE_SECONDS: Final = 0.2  # beyond the deadline, to close what is open

BoundSocket: TypeAlias = zmq.Socket[bytes]
Rebind: TypeAlias = Callable[[], BoundSocket]
"""Opens the socket once more, bound to the address that it had; its links are gone."""


class SocketThread(ABC):
    """Serves one socket in its own thread, turn by turn, and closes it at the end.

    The socket belongs to the thread from :meth:`start` on.  ``heartbeat`` is called once a turn.
    ``rebind`` is called by the thread after :meth:`renew`.  Connections of a TCP socket are limited
    (:class:`~flightsw.host.connections.Limits`); ``too_many`` is called with the public key of the
    client whose connection was closed, empty if it is unknown.
    """

    def __init__(
        self,
        name: str,
        socket: BoundSocket,
        heartbeat: Callable[[], None],
        rebind: Rebind | None = None,
        too_many: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._socket = socket
        self._heartbeat = heartbeat
        self._rebind = rebind
        self._too_many = too_many
        self._connections = self._watched()
        self._renewing = threading.Event()
        self._give_up_at: float | None = None  # monotonic; set by stop()
        self._wake_lock = threading.Lock()  # innermost
        self._wake_descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = ServiceThread(name, self._run)

    @property
    def ended_by(self) -> str | None:
        """What ended the thread; None while it serves."""
        return self._thread.ended_by

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self, deadline_s: float) -> bool:
        """End, and close the socket; whether the thread did so within ``deadline_s`` seconds.

        May be called again.  A thread that never started has its socket closed by the caller.
        """
        self._give_up_at = time.monotonic() + deadline_s
        self._wake()
        if self._thread.ident is None:
            self._close()
        else:
            self._thread.join(deadline_s + _CLOSE_SECONDS)
        return not self._thread.is_alive()

    def renew(self) -> None:
        """Close all links of the socket; clients that are still let in connect again by themselves.

        ZeroMQ cannot close the link of one client.  Any thread may call.
        """
        self._renewing.set()
        self._wake()

    @abstractmethod
    def _wait_ms(self) -> int:
        """How long the next turn may wait for the socket or a wake-up."""

    @abstractmethod
    def _serve(self, *, readable: bool) -> None:
        """One turn; ``readable`` if the socket has something to receive."""

    def _finished(self) -> bool:
        """Whether no turn follows."""
        return self._give_up_at is not None

    def _release(self) -> None:  # noqa: B027
        """Last work before the socket is closed; also called if the thread never started."""

    def _linger_ms(self) -> int | None:
        """How long the closed socket may still send; None: as the socket is set."""
        return None

    def _heard(self, frame: zmq.Frame) -> Connection | None:
        """Called with the first frame of each message; its connection, None if there is none."""
        return None if self._connections is None else self._connections.heard(frame)

    def _refuse_connection(self, connection: Connection) -> None:
        """Close a connection whose client asks for too much."""
        if self._connections is not None:
            self._connections.refuse(connection)

    def _wake(self) -> None:
        """Begin the next turn now; any thread may call."""
        with self._wake_lock:
            if self._wake_descriptor >= 0:  # else the number may be another file's by now
                os.eventfd_write(self._wake_descriptor, 1)

    def _run(self) -> None:
        wake = self._wake_descriptor
        poller = zmq.Poller()
        poller.register(wake, zmq.POLLIN)
        self._register(poller)
        try:
            while not self._finished():
                self._heartbeat()
                if self._rebind and self._renewing.is_set():
                    self._renewing.clear()
                    poller.unregister(self._socket)
                    if self._connections is not None:
                        poller.unregister(self._connections.monitor)
                    self._unwatch()
                    self._socket.close(linger=0)
                    self._socket = self._rebind()
                    self._connections = self._watched()
                    self._register(poller)
                ready = dict(poller.poll(self._wait_ms()))
                if wake in ready:
                    os.eventfd_read(wake)
                if self._connections is not None:
                    self._connections.update()
                self._serve(readable=self._socket in ready)
        finally:
            self._close()

    def _watched(self) -> ConnectionWatch | None:
        if not self._socket.getsockopt_string(zmq.LAST_ENDPOINT).startswith("tcp://"):
            return None
        return ConnectionWatch(self._socket, self._too_many)

    def _unwatch(self) -> None:
        if self._connections is not None:
            self._connections.close()
            self._connections = None

    def _register(self, poller: zmq.Poller) -> None:
        poller.register(self._socket, zmq.POLLIN)
        if self._connections is not None:
            poller.register(self._connections.monitor, zmq.POLLIN)

    def _close(self) -> None:
        try:
            self._release()
        finally:
            self._unwatch()
            self._socket.close(linger=self._linger_ms())
            with self._wake_lock:
                if self._wake_descriptor >= 0:
                    os.close(self._wake_descriptor)
                    self._wake_descriptor = -1
