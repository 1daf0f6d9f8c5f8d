"""The telemetry socket: one thread owns it, every thread may publish."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import zmq

from flightsw.telemetry.packets import Frames, PacketStream
from telecommands.dictionary import Record, Topic

PACKETS_PER_SUBSCRIBER: Final = 5000
"""So many wait for a subscriber that does not read; it loses the rest, the others lose nothing.

Seconds of the busiest traffic, some 5 MB of housekeeping.
"""

_IDLE_MS: Final = 500  # the heartbeat goes on while nothing happens
_REPORT_SECONDS: Final = 1.0  # least time between two reports of dropped packets
_AT_ONCE: Final = 500  # packets, or subscriptions, before the other gets its turn
_SUBSCRIBE: Final = b"\x01"  # first byte of what XPUB receives (ZeroMQ RFC 29)
_LONGEST_SUBSCRIPTION: Final = 2048  # CURVE shakes hands in messages above 256 bytes
_PEER_CHECK_MS: Final = 10_000
_PEER_GONE_MS: Final = 30_000


def configure_publisher(socket: zmq.Socket[bytes]) -> None:
    """Set what :class:`TelemetryLink` relies on; call it before the socket is bound.

    XPUB_VERBOSE tells of every subscription, also to a topic that somebody has already, so that
    each new subscriber gets the latest packet.  The others see it once more; its sequence number
    tells them.  XPUB_MANUAL cannot address one subscriber of a topic, and the option that could
    (XPUB_MANUAL_LAST_VALUE) is a draft that libzmq need not keep.
    """
    socket.set(zmq.XPUB_VERBOSE, 1)
    socket.set(zmq.SNDHWM, PACKETS_PER_SUBSCRIBER)
    socket.set(zmq.MAXMSGSIZE, _LONGEST_SUBSCRIPTION)
    socket.set(zmq.HEARTBEAT_IVL, _PEER_CHECK_MS)  # a peer that vanished gives its memory back
    socket.set(zmq.HEARTBEAT_TIMEOUT, _PEER_GONE_MS)
    socket.set(zmq.LINGER, 0)


class TelemetryLink:
    """Publishes packets through a bound XPUB socket, which it owns and closes.

    ``publish`` and ``resend`` may be called by any thread, also before ``start``.  At most
    ``depth`` packets wait; a full queue drops the new one.  Sequence numbers are given before
    that, so that every loss shows as a gap.  ``report_drops`` is told by the link's own thread, at
    most once a second, how many were dropped since it was last told.  ``clock`` gives UTC in
    nanoseconds.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        stream: PacketStream,
        heartbeat: Callable[[], None],
        clock: Callable[[], int],
        report_drops: Callable[[int], None],
        depth: int = 10_000,
    ) -> None:
        self._socket = socket
        self._stream = stream
        self._heartbeat = heartbeat
        self._clock = clock
        self._report_drops = report_drops
        self._depth = depth
        self._lock = threading.Lock()  # guards the stream and all that follows
        self._waiting: deque[Frames] = deque()
        self._repeats: set[bytes] = set()  # subscriptions whose latest packets go out again
        self._dropped = 0
        self._closed = False
        self._give_up_at: float | None = None  # monotonic; set by stop()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="flightsw-telemetry", daemon=True)

    @property
    def dropped(self) -> int:
        """Packets that found no room since the service started."""
        with self._lock:
            return self._dropped

    def start(self) -> None:
        """Start the thread; the socket is its own from here on."""
        self._thread.start()

    def publish(self, topic: Topic, body: Record) -> None:
        """Hand a packet to the thread; never waits for it.

        Raises TypeError, ValueError or OverflowError for a body that msgpack cannot carry.
        """
        with self._lock:
            frames = self._stream.frames(topic, body, self._clock())
            if self._closed or len(self._waiting) >= self._depth:
                self._dropped += 1
                return
            self._waiting.append(frames)
            if len(self._waiting) == 1:  # else the thread is at work already
                self._rouse()

    def resend(self, topics: Iterable[Topic] = ()) -> int:
        """Send the latest packet of the topics once more (none: of all); returns how many."""
        names = tuple(topic.encode("ascii") for topic in topics)
        with self._lock:
            if self._closed:
                return 0
            again = [frames[0] for frames in self._stream.latest()]
            chosen = [topic for topic in again if not names or topic in names]
            self._repeats.update(chosen)
            self._rouse()
        return len(chosen)

    def stop(self, deadline_s: float) -> bool:
        """Send what waits, for at most so many seconds; close the socket.

        Says whether the thread ended and nothing was left in the queue.
        """
        with self._lock:
            if self._closed and self._wake < 0:
                return not self._waiting
            self._give_up_at = time.monotonic() + deadline_s
            self._rouse()
        if self._thread.ident is None:  # never started
            self._close()
        else:
            self._thread.join(deadline_s + _IDLE_MS / 1000)
            if self._thread.is_alive():
                return False
        with self._lock:
            os.close(self._wake)
            self._wake = -1
            return not self._waiting

    def _rouse(self) -> None:
        os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        try:
            poller = zmq.Poller()
            poller.register(self._socket, zmq.POLLIN)
            poller.register(self._wake, zmq.POLLIN)
            reported, report_at = 0, 0.0
            while not self._finished():
                self._heartbeat()
                ready = dict(poller.poll(0 if self._work_left() else _IDLE_MS))
                if self._wake in ready:
                    os.eventfd_read(self._wake)
                if self._socket in ready:
                    self._read_subscriptions()
                self._send_waiting()
                self._send_repeats()
                if self.dropped > reported and time.monotonic() >= report_at:
                    dropped, report_at = self.dropped, time.monotonic() + _REPORT_SECONDS
                    self._report_drops(dropped - reported)
                    reported = dropped
        finally:
            self._close()

    def _finished(self) -> bool:
        with self._lock:
            if self._give_up_at is None:
                return False
            return not self._waiting or time.monotonic() >= self._give_up_at

    def _work_left(self) -> bool:
        with self._lock:
            return bool(self._waiting)

    def _read_subscriptions(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                message = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            if message.startswith(_SUBSCRIBE):
                with self._lock:
                    self._repeats.update(
                        topic for topic, _ in self._stream.latest(message[len(_SUBSCRIBE) :])
                    )

    def _send_waiting(self) -> None:
        for _ in range(_AT_ONCE):
            with self._lock:
                if not self._waiting:
                    return
                frames = self._waiting.popleft()
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

    def _close(self) -> None:
        with self._lock:
            self._closed = True
            give_up_at = self._give_up_at
        left = 0.0 if give_up_at is None else max(0.0, give_up_at - time.monotonic())
        self._socket.close(linger=int(left * 1000))
