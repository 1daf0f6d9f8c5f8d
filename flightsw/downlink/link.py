"""The downlink's socket and thread; all rules are the transfer's."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from math import ceil
from time import monotonic
from typing import Final

import zmq

from flightsw.downlink.link_rate import LinkRate
from flightsw.downlink.transfer import Step, Transfer
from flightsw.errors import FlightError, StateUnavailable
from flightsw.host.send_budget import COUNTED_BYTES, SendBudget, client_key
from flightsw.host.socket_thread import Rebind, SocketThread
from telecommands.codec import decode_as, encode
from telecommands.dictionary import ChunkRequest, Code, DownlinkRefused, DownlinkRequest, Role
from telecommands.refusal import Refusal

MAX_REQUEST_BYTES: Final = 128 << 10
"""Longest request: one that skips 1,000 products.  A longer one closes its sender's connection."""

_QUEUED_CHUNKS: Final = 8  # of one receiver, in the socket: still sent after a window's end
_RECEIVERS: Final = 64  # with requests under way
_RECEIVERS_OF_A_CLIENT: Final = 8  # so that a client starves itself at most
_WAITING_BYTES: Final = 32 << 20  # of all receivers, in the socket
_RATES: Final = 2 * _RECEIVERS  # of links, remembered from one request to the next
_REQUESTS: Final = 8  # of one receiver, under way
_BURST: Final = 64  # requests read before the next chunk goes out
_IDLE_SECONDS: Final = 0.5  # between heartbeats
_FIRST_PAUSE: Final = 0.001  # of a receiver whose queue is full; doubles up to the longest
_LONGEST_PAUSE: Final = 0.05
_GIVE_UP_SECONDS: Final = 30.0  # a receiver that takes nothing for this long must ask again


def prepare_socket(socket: zmq.Socket[bytes]) -> None:
    """Set the limits of a downlink socket (ROUTER); they apply to what is bound afterwards."""
    socket.router_mandatory = True  # a full or vanished receiver is an error, not a silent drop
    socket.sndhwm = _QUEUED_CHUNKS
    socket.rcvhwm = _BURST
    socket.maxmsgsize = MAX_REQUEST_BYTES
    socket.linger = 0
    socket.copy_threshold = COUNTED_BYTES
    socket.handshake_ivl = 5_000
    socket.heartbeat_ivl, socket.heartbeat_timeout = 10_000, 30_000  # of receivers that vanish


class DownlinkLink(SocketThread):
    """Serves clients in turn, chunk by chunk; one that reads slowly only waits itself.

    :func:`prepare_socket` set the socket's limits before it was bound.  ``fault`` is called with
    the error of a request that failed through a fault of the service; its receiver is refused.
    ``client_of`` names the client of a public key (Z85; empty without CURVE), None if it may not
    receive.  Receivers, requests and waiting bytes are limited for each client.
    Chunks under way when the link stops are dropped; what a receiver has stored is not sent again.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        transfer: Transfer,
        heartbeat: Callable[[], None],
        fault: Callable[[Exception], None],
        client_of: Callable[[bytes], str | None],
        rebind: Rebind | None = None,
        too_many: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__("flightsw-downlink", socket, heartbeat, rebind, too_many)
        self._transfer = transfer
        self._fault = fault
        self._client_of = client_of
        self._budget = SendBudget(_WAITING_BYTES)
        self._receivers: dict[bytes, _Receiver] = {}
        self._rates: dict[bytes, LinkRate] = {}  # the latest used last
        self.refused = 0
        """Requests that were malformed, or too many at the same time."""

    def _wait_ms(self) -> int:
        return ceil(self._serve_receivers() * 1000)

    def _serve(self, *, readable: bool) -> None:
        if readable:
            self._receive()

    def _release(self) -> None:
        for receiver in self._receivers.values():
            receiver.close()
        self._receivers.clear()

    def _linger_ms(self) -> int:
        return 0

    def _receive(self) -> None:
        for _ in range(_BURST):
            try:
                first, *frames = self._socket.recv_multipart(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            self._heard(first)
            identity = first.bytes
            try:
                self._take(identity, client_key(first), [frame.bytes for frame in frames])
            except Refusal as refusal:
                self.refused += 1
                self._refuse(identity, refusal)

    def _take(self, identity: bytes, public: bytes, frames: list[bytes]) -> None:
        client = self._client_of(public)
        if client is None:
            cause = f"the client's key does not have the role {Role.RECEIVE.value}"
            raise Refusal(Code.NOT_PERMITTED, cause)
        if len(frames) != 1:
            raise Refusal(Code.MALFORMED, f"a request is 1 frame, not {len(frames)}")
        request: DownlinkRequest = decode_as(DownlinkRequest, frames[0], "the request")  # type: ignore[arg-type]
        receiver = self._receivers.get(identity)
        if receiver is None:
            self._require_room(client)
            receiver = self._receivers[identity] = _Receiver(client, monotonic())
        receiver.ask(request, self._transfer.answer(request, self._rate(identity), client))

    def _require_room(self, client: str) -> None:
        own = sum(receiver.client == client for receiver in self._receivers.values())
        if own >= _RECEIVERS_OF_A_CLIENT:
            cause = f"{own} receivers of {client or 'this client'} are served already"
            raise Refusal(Code.QUEUE_FULL, cause)
        if len(self._receivers) >= _RECEIVERS:
            raise Refusal(Code.QUEUE_FULL, f"{_RECEIVERS} receivers are served already")

    def _rate(self, identity: bytes) -> LinkRate:
        rate = self._rates.pop(identity) if identity in self._rates else LinkRate()
        self._rates[identity] = rate
        if len(self._rates) > _RATES:
            del self._rates[next(iter(self._rates))]
        return rate

    def _refuse(self, identity: bytes, refusal: Refusal, product: str = "") -> None:
        """Best effort: a receiver that reads nothing is not waited for."""
        reply = DownlinkRefused(product=product, code=refusal.code, cause=refusal.cause)
        try:
            self._socket.send_multipart([identity, encode(reply)], zmq.DONTWAIT)
        except zmq.ZMQError:  # full or gone
            return

    def _serve_receivers(self) -> float:
        """One step for each client with a receiver that can take one; seconds until the next can.

        Of several receivers of a client, the one that was served longest ago.
        """
        now = monotonic()
        wait = _IDLE_SECONDS
        served: set[str] = set()
        for identity, receiver in sorted(
            self._receivers.items(), key=lambda entry: entry[1].served_at
        ):
            may_step = receiver.resumes_at <= now and receiver.client not in served
            if may_step and self._step(identity, receiver, now):
                served.add(receiver.client)
            if receiver.idle or now - receiver.served_at > _GIVE_UP_SECONDS:
                receiver.close()
                del self._receivers[identity]
            else:
                wait = min(wait, max(receiver.resumes_at - now, 0.0))
        return wait

    def _step(self, identity: bytes, receiver: _Receiver, now: float) -> bool:
        """Send the next reply if there is room; whether one went out."""
        try:
            frames = receiver.next_frames()
            if frames is not None:
                if not self._budget.has_room(receiver.client, len(frames[-1])):
                    receiver.pause(now)
                    return False
                tracker = self._socket.send_multipart(
                    [identity, *frames], zmq.DONTWAIT, copy=False, track=True
                )
                if tracker is not None:
                    self._budget.sent(receiver.client, tracker, len(frames[-1]))
            receiver.sent(now)
        except zmq.Again:
            receiver.pause(now)
        except zmq.ZMQError:  # gone
            receiver.close()
        except (FlightError, OSError) as fault:
            request = receiver.abandon_request()
            self._fault(fault)
            busy = isinstance(fault, StateUnavailable)
            code = Code.STATE_UNAVAILABLE if busy else Code.INTERNAL
            self._refuse(identity, Refusal(code, str(fault)), getattr(request, "product", ""))
        else:
            return True
        return False


class _Receiver:
    """Requests of one receiver under way, oldest first, and the reply that waits for room."""

    def __init__(self, client: str, now: float) -> None:
        self.client = client
        self.resumes_at = self.served_at = now
        self._pause = _FIRST_PAUSE
        self._answers: deque[tuple[DownlinkRequest, Generator[Step, None, None]]] = deque()
        self._waiting: list[bytes] | None = None

    @property
    def idle(self) -> bool:
        return not self._answers and self._waiting is None

    def ask(self, request: DownlinkRequest, answer: Generator[Step, None, None]) -> None:
        """A request for chunks takes the place of an earlier one: nothing is sent twice."""
        if isinstance(request, ChunkRequest):
            self._drop_chunk_requests()
        if len(self._answers) >= _REQUESTS:
            raise Refusal(Code.QUEUE_FULL, f"{_REQUESTS} requests are under way already")
        self._answers.append((request, answer))

    def next_frames(self) -> list[bytes] | None:
        """What to send next; None: nothing yet."""
        if self._waiting is None and self._answers:
            for step in self._answers[0][1]:
                if step is not None:
                    reply, data = step
                    self._waiting = [encode(reply)] if data is None else [encode(reply), data]
                return self._waiting
            self._answers.popleft()
        return self._waiting

    def sent(self, now: float) -> None:
        self._waiting = None
        self._pause = _FIRST_PAUSE
        self.resumes_at = self.served_at = now

    def pause(self, now: float) -> None:
        self.resumes_at = now + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def abandon_request(self) -> DownlinkRequest:
        request, answer = self._answers.popleft()
        answer.close()
        return request

    def close(self) -> None:
        for _, answer in self._answers:
            answer.close()
        self._answers.clear()
        self._waiting = None

    def _drop_chunk_requests(self) -> None:
        if self._answers and isinstance(self._answers[0][0], ChunkRequest):
            self._waiting = None  # is of the first
        for entry in [entry for entry in self._answers if isinstance(entry[0], ChunkRequest)]:
            entry[1].close()
            self._answers.remove(entry)
