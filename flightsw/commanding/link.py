"""The telecommand link's edge: one thread, one ROUTER socket."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

import structlog
import zmq

from flightsw.commanding.dispatcher import Dispatcher
from telecommands.codec import encode
from telecommands.dictionary import Verification

_log: Final = structlog.get_logger(__name__)

_TURN_MS: Final = 100  # a turn of the thread takes no longer, so that ticks and heartbeats go on
_RECEIVED_A_TURN: Final = 64
_FRAMES: Final = 3  # a telecommand's two and one to see that there are more
_INBOX: Final = 4096  # stages reported by other threads and not sent yet
_OPEN_IDS: Final = 1024  # telecommands whose senders wait for later stages
_SENDERS: Final = 8  # of one telecommand
_PAUSE_S: Final = 1.0  # after a tick that failed


class TelecommandLink:
    """Receives telecommands, answers each with its stages, one message a stage.

    Later stages go to the peers that sent, or repeated, the telecommand.  A peer that is gone or
    slow loses messages; nothing waits for it.

    ``socket`` is a bound ROUTER with these options set: MAXMSGSIZE little above
    ``MAX_BODY_BYTES`` (larger messages then end the connection before they are stored), SNDHWM
    and RCVHWM finite, LINGER finite, ROUTER_MANDATORY off.  From :meth:`start` on it belongs to
    the link, which closes it.  ``heartbeat`` and ``tick`` are called by the thread at least every
    100 ms, under any load; ``tick`` is where due telecommands are run.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        dispatcher: Dispatcher,
        heartbeat: Callable[[], None],
        tick: Callable[[], None],
    ) -> None:
        self._socket = socket
        self._dispatcher = dispatcher
        self._heartbeat = heartbeat
        self._tick = tick
        self._next_tick = 0.0  # monotonic
        self._waiting = _Waiting()
        self._inbox = _Inbox()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flightsw-commanding", daemon=True)
        self._lost = 0
        dispatcher.listen(self._inbox.put)

    @property
    def lost(self) -> int:
        """Stages that found no room on their way to a sender; telemetry tells them all the same."""
        return self._lost + self._inbox.lost

    def start(self) -> None:
        """Begin to receive."""
        self._thread.start()

    def stop(self, deadline: float) -> bool:
        """Send what was reported and close the socket, within ``deadline`` seconds; whether it did.

        A link that never started is closed as well.
        """
        self._stopping.set()
        self._inbox.wake()
        if self._thread.ident is None:
            self._close()
            return True
        self._thread.join(deadline)
        return not self._thread.is_alive()

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._inbox.descriptor, zmq.POLLIN)
        try:
            while not self._stopping.is_set():
                ready = dict(poller.poll(_TURN_MS))
                if self._socket in ready:
                    self._answer_some()
                self._send_reported()
                self._heartbeat()
                self._run_tick()
            self._send_reported()
        finally:
            self._close()

    def _close(self) -> None:
        self._inbox.close()
        self._socket.close()

    def _answer_some(self) -> None:
        for _ in range(_RECEIVED_A_TURN):
            try:
                identity, frames = self._receive()
            except zmq.Again:
                return
            self._answer(identity, frames)

    def _receive(self) -> tuple[bytes, list[bytes]]:
        """One message, however many frames it has; raises zmq.Again where there is none."""
        identity = self._socket.recv(zmq.NOBLOCK)
        frames: list[bytes] = []
        while self._socket.rcvmore:
            frame = self._socket.recv(zmq.NOBLOCK)
            if len(frames) < _FRAMES:
                frames.append(frame)
        return identity, frames

    def _answer(self, identity: bytes, frames: list[bytes]) -> None:
        try:
            stages = self._dispatcher.receive(frames, time.monotonic())
        except Exception:  # noqa: BLE001 - nothing received may raise past the link's edge
            _log.exception("telecommand lost")
            return
        for stage in stages:
            self._send(identity, stage)
        if not stages[-1].stage.closes:
            self._waiting.add(stages[-1].id, identity)

    def _send_reported(self) -> None:
        for stage in self._inbox.take():
            for identity in self._waiting.of(stage):
                self._send(identity, stage)

    def _send(self, identity: bytes, stage: Verification) -> None:
        try:
            self._socket.send_multipart([identity, encode(stage)], zmq.NOBLOCK)
        except zmq.Again:
            self._lost += 1

    def _run_tick(self) -> None:
        now = time.monotonic()
        if now < self._next_tick:
            return
        try:
            self._tick()
        except Exception:  # noqa: BLE001 - the telecommand link outlives whatever else is due
            _log.exception("tick failed")
            self._next_tick = now + _PAUSE_S


class _Waiting:
    """Who waits for later stages of which telecommand; the longest waiting go when it is full."""

    def __init__(self) -> None:
        self._senders: OrderedDict[str, list[bytes]] = OrderedDict()

    def add(self, telecommand: str, identity: bytes) -> None:
        senders = self._senders.setdefault(telecommand, [])
        if identity not in senders:
            senders.append(identity)
            del senders[:-_SENDERS]
        if len(self._senders) > _OPEN_IDS:
            self._senders.popitem(last=False)

    def of(self, stage: Verification) -> list[bytes]:
        """Who is to get this stage; after a closing one nobody waits any more."""
        if stage.stage.closes:
            return self._senders.pop(stage.id, [])
        return self._senders.get(stage.id, [])


class _Inbox:
    """Stages from other threads, and a descriptor that becomes readable when there are some."""

    def __init__(self) -> None:
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.lost = 0
        self._stages: deque[Verification] = deque(maxlen=_INBOX)
        self._lock = threading.Lock()
        self._open = True

    def put(self, stage: Verification) -> None:
        """Never blocks: when full, the oldest goes."""
        with self._lock:
            self.lost += len(self._stages) == _INBOX
            self._stages.append(stage)
            self._wake()

    def take(self) -> list[Verification]:
        with self._lock:
            if not self._stages:
                return []
            stages = list(self._stages)
            self._stages.clear()
            if self._open:
                os.eventfd_read(self.descriptor)
            return stages

    def wake(self) -> None:
        with self._lock:
            self._wake()

    def _wake(self) -> None:
        if self._open:  # else the number may be another file's by now
            os.eventfd_write(self.descriptor, 1)

    def close(self) -> None:
        with self._lock:
            if self._open:
                self._open = False
                os.close(self.descriptor)
