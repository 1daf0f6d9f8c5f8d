"""The telecommand link's edge: one thread, one ROUTER socket."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final, NamedTuple

import structlog
import zmq

from flightsw.commanding.context import reference_of
from flightsw.commanding.dispatcher import Dispatcher
from flightsw.host.send_budget import SendBudget, client_key
from flightsw.host.socket_thread import Rebind, SocketThread
from telecommands.codec import encode
from telecommands.dictionary import Verification

_log: Final = structlog.get_logger(__name__)

_TURN_MS: Final = 100  # a turn of the thread takes no longer, so that ticks and heartbeats continue
_RECEIVED_A_TURN: Final = 64
_FRAMES: Final = 3  # a telecommand's two and one to see that there are more
_INBOX: Final = 4096  # stages reported by other threads and not sent yet
_OPEN_IDS: Final = 1024  # telecommands whose senders wait for later stages
_SENDERS: Final = 8  # of one telecommand
_WAITING_BYTES: Final = 16 << 20  # of all peers, in the socket
_PAUSE_S: Final = 1.0  # after a tick that failed


class TelecommandLink(SocketThread):
    """Receives telecommands and answers each with its stages, one message a stage.

    Later stages go to the peers that sent, or repeated, the telecommand.  A peer that is gone or
    slow loses messages; nothing waits for it.  The bytes that wait in the socket for the peers of a
    client are limited, whatever their number.

    ``socket`` is a bound ROUTER with these options set: MAXMSGSIZE little above
    ``MAX_BODY_BYTES`` (larger messages then end the connection before they are stored), SNDHWM
    and RCVHWM finite, LINGER finite, ROUTER_MANDATORY off.  ``heartbeat`` and
    ``tick`` are called by the thread at least every 100 ms, under any load; ``tick`` runs due
    telecommands.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        dispatcher: Dispatcher,
        heartbeat: Callable[[], None],
        tick: Callable[[], None],
        rebind: Rebind | None = None,
        too_many: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__("flightsw-commanding", socket, heartbeat, rebind, too_many)
        self._dispatcher = dispatcher
        self._tick = tick
        self._next_tick = 0.0  # monotonic
        self._waiting = _Waiting()
        self._budget = SendBudget(_WAITING_BYTES)
        self._inbox = _Inbox()
        self._lost = 0
        dispatcher.listen(self._take_in)

    @property
    def lost(self) -> int:
        """Stages dropped on their way to a sender, whose queue was full; telemetry has them too."""
        return self._lost + self._inbox.lost

    def _take_in(self, stage: Verification) -> None:
        self._inbox.put(stage)
        self._wake()

    def _wait_ms(self) -> int:
        return _TURN_MS

    def _serve(self, *, readable: bool) -> None:
        if readable:
            self._answer_some()
        self._send_reported()
        self._run_tick()

    def _release(self) -> None:
        self._send_reported()

    def _answer_some(self) -> None:
        for _ in range(_RECEIVED_A_TURN):
            try:
                peer, frames = self._receive()
            except zmq.Again:
                return
            self._answer(peer, frames)

    def _receive(self) -> tuple[_Peer, list[bytes]]:
        """One message, however many frames it has; raises zmq.Again if there is none."""
        first = self._socket.recv(zmq.NOBLOCK, copy=False)
        self._heard(first)
        peer = _Peer(first.bytes, client_key(first).decode())
        frames: list[bytes] = []
        while self._socket.rcvmore:
            frame = self._socket.recv(zmq.NOBLOCK)
            if len(frames) < _FRAMES:
                frames.append(frame)
        return peer, frames

    def _answer(self, peer: _Peer, frames: list[bytes]) -> None:
        try:
            stages = self._dispatcher.receive(frames, time.monotonic())
        except Exception:  # noqa: BLE001 - nothing received may raise past the link's edge
            _log.exception("telecommand lost")
            return
        for stage in stages:
            self._send(peer, stage)
        if not stages[-1].stage.closes:
            self._waiting.add(_reference(stages[-1]), peer)

    def _send_reported(self) -> None:
        for stage in self._inbox.take():
            for peer in self._waiting.of(stage):
                self._send(peer, stage)

    def _send(self, peer: _Peer, stage: Verification) -> None:
        answer = encode(stage)
        if not self._budget.has_room(peer.client, len(answer)):
            self._lost += 1
            return
        try:
            tracker = self._socket.send_multipart(
                [peer.identity, answer], zmq.NOBLOCK, copy=False, track=True
            )
        except zmq.Again:
            self._lost += 1
            return
        if tracker is not None:
            self._budget.sent(peer.client, tracker, len(answer))

    def _run_tick(self) -> None:
        now = time.monotonic()
        if now < self._next_tick:
            return
        try:
            self._tick()
        except Exception:  # noqa: BLE001 - the telecommand link outlives whatever else is due
            _log.exception("tick failed")
            self._next_tick = now + _PAUSE_S


class _Peer(NamedTuple):
    """One end of the link, and the public key of its client (Z85)."""

    identity: bytes
    client: str


class _Waiting:
    """Senders that wait for later stages, by telecommand; when full, the oldest are dropped."""

    def __init__(self) -> None:
        self._senders: OrderedDict[str, list[_Peer]] = OrderedDict()

    def add(self, telecommand: str, peer: _Peer) -> None:
        senders = self._senders.setdefault(telecommand, [])
        if peer not in senders:
            senders.append(peer)
            del senders[:-_SENDERS]
        if len(self._senders) > _OPEN_IDS:
            self._senders.popitem(last=False)

    def of(self, stage: Verification) -> list[_Peer]:
        """Senders of this stage's telecommand; after a closing stage nobody waits any more."""
        if stage.stage.closes:
            return self._senders.pop(_reference(stage), [])
        return self._senders.get(_reference(stage), [])


def _reference(stage: Verification) -> str:
    return reference_of(stage.key_id, stage.id)


class _Inbox:
    """Stages from other threads."""

    def __init__(self) -> None:
        self.lost = 0
        self._stages: deque[Verification] = deque(maxlen=_INBOX)
        self._lock = threading.Lock()

    def put(self, stage: Verification) -> None:
        """Never blocks: when full, the oldest is dropped."""
        with self._lock:
            self.lost += len(self._stages) == _INBOX
            self._stages.append(stage)

    def take(self) -> list[Verification]:
        with self._lock:
            stages = list(self._stages)
            self._stages.clear()
            return stages
