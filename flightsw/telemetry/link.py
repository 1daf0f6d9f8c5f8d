"""The telemetry socket: one thread owns it, every thread may publish."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
import zmq

from flightsw.host.socket_thread import Rebind, SocketThread
from flightsw.telemetry.packets import Frames, PacketStream
from telecommands.codec import encode
from telecommands.dictionary import Record, Topic, Verification

PACKETS_PER_SUBSCRIBER: Final = 2000
"""Packets that wait for a subscriber that does not read; it loses the rest, others nothing.

Seconds of the busiest traffic, some 2 MB of housekeeping; 16 MB if each is an answer of the length
that :func:`published` allows.
"""

MOST_DATA_BYTES: Final = 8 << 10
"""Of a stage's data that telemetry carries; its sender always gets all of it."""

_WAITING_BYTES: Final = 16 << 20  # of packets for the thread

_IDLE_MS: Final = 500  # between heartbeats while nothing happens
_REPORT_SECONDS: Final = 1.0  # least time between two reports of dropped packets
_PER_TURN: Final = 500  # packets, or subscriptions, before the others get their turn
_SUBSCRIPTIONS: Final = 256  # of one connection, in all
_LONGEST_TOPIC: Final = 64  # ZeroMQ keeps some 40 bytes for each byte of a topic
_SUBSCRIBE: Final = b"\x01"  # first byte of what XPUB receives (ZeroMQ RFC 29)
_LONGEST_MESSAGE: Final = 2048  # CURVE shakes hands in messages above 256 bytes
_PEER_CHECK_MS: Final = 10_000
_PEER_GONE_MS: Final = 30_000


def configure_publisher(socket: zmq.Socket[bytes]) -> None:
    """Set what :class:`TelemetryLink` relies on; call it before the socket is bound.

    XPUB_VERBOSE reports every subscription, also to a topic that has a subscriber already, so that
    each new subscriber gets the latest packet.  The others receive it again, and know it by its
    sequence number.  XPUB_MANUAL cannot address one subscriber of a topic, and the option that
    could (XPUB_MANUAL_LAST_VALUE) is a draft that libzmq need not keep.
    """
    socket.set(zmq.XPUB_VERBOSE, 1)
    socket.set(zmq.SNDHWM, PACKETS_PER_SUBSCRIBER)
    socket.set(zmq.MAXMSGSIZE, _LONGEST_MESSAGE)
    socket.set(zmq.HEARTBEAT_IVL, _PEER_CHECK_MS)  # frees the memory of a peer that vanished
    socket.set(zmq.HEARTBEAT_TIMEOUT, _PEER_GONE_MS)
    socket.set(zmq.LINGER, 0)


def published(stage: Verification) -> Verification:
    """A stage as telemetry carries it: long data are left out, which would wait for every client.

    They are the lists that a sender asked for; ``data`` then gives their length.
    """
    if len(stage.data) == 0 or (size := len(encode(stage.data))) <= MOST_DATA_BYTES:
        return stage
    return msgspec.structs.replace(stage, data={"bytes_left_out": size})


class TelemetryLink(SocketThread):
    """Publishes packets through a bound XPUB socket.

    ``publish`` and ``resend`` may be called by any thread, also before ``start``.  At most
    ``depth`` packets of 16 MB wait; a full queue drops the new one.  Sequence numbers are given
    before that, so that every loss shows as a gap.  ``report_drops`` is called by the link's
    thread, at most once a second, with the number dropped since its last call.  ``clock`` gives
    UTC in nanoseconds.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        stream: PacketStream,
        heartbeat: Callable[[], None],
        clock: Callable[[], int],
        report_drops: Callable[[int], None],
        depth: int = 10_000,
        rebind: Rebind | None = None,
        too_many: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__("flightsw-telemetry", socket, heartbeat, rebind, too_many)
        self._stream = stream
        self._clock = clock
        self._report_drops = report_drops
        self._depth = depth
        self._lock = threading.Lock()  # guards the stream and all that follows
        self._waiting: deque[Frames] = deque()
        self._waiting_bytes = 0
        self._repeats: set[bytes] = set()  # subscriptions whose latest packets are sent again
        self._dropped = 0
        self._closed = False
        self._reported = 0  # of the dropped ones; this and the next belong to the thread
        self._report_at = 0.0  # monotonic

    @property
    def dropped(self) -> int:
        """Packets dropped since the service started, because the queue was full or closed."""
        with self._lock:
            return self._dropped

    def publish(self, topic: Topic, body: Record) -> None:
        """Hand a packet to the thread; never waits for it.

        Raises TypeError, ValueError or OverflowError for a body that msgpack cannot carry.
        """
        with self._lock:
            frames = self._stream.frames(topic, body, self._clock())
            full = len(self._waiting) >= self._depth or self._waiting_bytes >= _WAITING_BYTES
            if self._closed or full:
                self._dropped += 1
                return
            self._waiting.append(frames)
            self._waiting_bytes += len(frames[1])
            if len(self._waiting) == 1:  # else the thread is at work already
                self._wake()

    def resend(self, topics: Iterable[Topic] = ()) -> int:
        """Send the latest packet of the topics again (no topics: of all); returns how many."""
        names = tuple(topic.encode("ascii") for topic in topics)
        with self._lock:
            if self._closed:
                return 0
            again = [frames[0] for frames in self._stream.latest()]
            chosen = [topic for topic in again if not names or topic in names]
            self._repeats.update(chosen)
            self._wake()
        return len(chosen)

    def stop(self, deadline_s: float) -> bool:
        """Send what waits, for at most ``deadline_s`` seconds; close the socket.

        Whether the thread ended and nothing was left in the queue.
        """
        return super().stop(deadline_s) and not self._work_left()

    def _wait_ms(self) -> int:
        return 0 if self._work_left() else _IDLE_MS

    def _serve(self, *, readable: bool) -> None:
        if readable:
            self._read_subscriptions()
        self._send_waiting()
        self._send_repeats()
        dropped, now = self.dropped, time.monotonic()
        if dropped > self._reported and now >= self._report_at:
            self._report_drops(dropped - self._reported)
            self._reported, self._report_at = dropped, now + _REPORT_SECONDS

    def _finished(self) -> bool:
        if self._give_up_at is None:
            return False
        return not self._work_left() or time.monotonic() >= self._give_up_at

    def _work_left(self) -> bool:
        with self._lock:
            return bool(self._waiting)

    def _read_subscriptions(self) -> None:
        for _ in range(_PER_TURN):
            try:
                frame = self._socket.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            message, connection = frame.bytes, self._heard(frame)
            if not message.startswith(_SUBSCRIBE):
                continue
            long = len(message) > len(_SUBSCRIBE) + _LONGEST_TOPIC
            # ZeroMQ keeps every topic as long as its connection is open.
            if connection and (long or connection.messages > _SUBSCRIPTIONS):
                self._refuse_connection(connection)
            else:
                with self._lock:
                    self._repeats.update(
                        topic for topic, _ in self._stream.latest(message[len(_SUBSCRIBE) :])
                    )

    def _send_waiting(self) -> None:
        for _ in range(_PER_TURN):
            with self._lock:
                if not self._waiting:
                    return
                frames = self._waiting.popleft()
                self._waiting_bytes -= len(frames[1])
                self._stream.sent(frames)
            self._send(frames)

    def _send_repeats(self) -> None:
        with self._lock:
            again = [frames for frames in self._stream.latest() if frames[0] in self._repeats]
            self._repeats.clear()
        for frames in again:
            self._send(frames)

    def _send(self, frames: Frames) -> None:
        # XPUB drops for each subscriber whose queue is full, and never waits.
        self._socket.send_multipart(frames, zmq.NOBLOCK)

    def _release(self) -> None:
        with self._lock:
            self._closed = True

    def _linger_ms(self) -> int:
        left = 0.0 if self._give_up_at is None else self._give_up_at - time.monotonic()
        return max(0, int(left * 1000))
