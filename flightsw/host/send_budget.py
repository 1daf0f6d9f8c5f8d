"""How many bytes wait in a socket for clients that do not read."""

from __future__ import annotations

from collections import defaultdict
from typing import Final, NamedTuple

import zmq

COUNTED_BYTES: Final = 4096
"""Shorter messages are copied by ZeroMQ and not counted; the socket limits their number."""


class _Sent(NamedTuple):
    tracker: zmq.MessageTracker
    size: int


class SendBudget:
    """Shares ``most`` bytes of waiting messages between clients; for one thread.

    A client may have as many waiting as are left over: one alone half of all, two a third each,
    and the next one finds room.  A client that has nothing waiting may always send one message.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._sent: defaultdict[str, list[_Sent]] = defaultdict(list)

    @property
    def waiting(self) -> int:
        """Bytes that ZeroMQ has not handed to the network yet."""
        return sum(self._of(client) for client in list(self._sent))

    def has_room(self, client: str, size: int) -> bool:
        """Whether another message of this size may be sent to the client now."""
        if size < COUNTED_BYTES:
            return True
        own = self._of(client)
        return own == 0 or own + size <= self._most - self.waiting

    def sent(self, client: str, tracker: zmq.MessageTracker, size: int) -> None:
        """A message was given to the socket with ``copy=False, track=True``."""
        if size >= COUNTED_BYTES and not tracker.done:
            self._sent[client].append(_Sent(tracker, size))

    def _of(self, client: str) -> int:
        left = [one for one in self._sent.get(client, ()) if not one.tracker.done]
        if left:
            self._sent[client] = left
        else:
            self._sent.pop(client, None)
        return sum(one.size for one in left)


def client_key(frame: zmq.Frame) -> bytes:
    """The public CURVE key (Z85) of the client that sent a frame; empty without CURVE."""
    try:
        return str(frame.get("User-Id")).encode()
    except zmq.ZMQError:
        return b""
