"""How far each client has received each product: only who took its bytes may confirm it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Final

import msgspec

from flightsw.state import StateFile
from telecommands.failure import UNDECODABLE

_FACT: Final = "taken/"
_KEEP_SECONDS: Final = 1.0  # between two writes of one product and client
_REMEMBERED: Final = 1024  # products and clients in memory; others are read again


class TakenBytes:
    """Bytes of a product that were handed to a client's links, from the first without a gap.

    Kept in the state file, so that a transfer may go over several contacts and restarts: at each
    request, once a second at most, with all bytes that the request asks for.  After a power cut a
    client may have to take again what it got in the last second.  ``monotonic`` gives seconds.
    """

    def __init__(self, state: StateFile, monotonic: Callable[[], float]) -> None:
        self._state = state
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._taken: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._kept_at: dict[tuple[str, str], float] = {}

    def of(self, product: str, client: str) -> int:
        """How many bytes the client has."""
        with self._lock:
            if (product, client) in self._taken:
                return self._taken[product, client]
        return self._kept(product).get(client, 0)

    def add(self, product: str, client: str, offset: int, size: int) -> None:
        """Bytes that go out to the client; those behind a gap do not count."""
        before = self.of(product, client)
        with self._lock:
            if offset <= before:
                self._taken[product, client] = max(before, offset + size)
                self._taken.move_to_end((product, client))
            while len(self._taken) > _REMEMBERED:
                self._kept_at.pop(self._taken.popitem(last=False)[0], None)

    def keep(self, product: str, client: str, expected: int) -> None:
        """Write down what the client will have received.  Raises StateUnavailable."""
        now, mark = self._monotonic(), (product, client)
        with self._lock:
            if now - self._kept_at.get(mark, -inf) < _KEEP_SECONDS:
                return
            self._kept_at[mark] = now
        with self._state.transaction():
            kept = self._kept(product)
            if kept.get(client, 0) < expected:
                fact = msgspec.msgpack.encode(kept | {client: expected})
                self._state.set_fact(_FACT + product, fact)

    def _kept(self, product: str) -> dict[str, int]:
        fact = self._state.fact(_FACT + product)
        if fact is not None:
            with suppress(*UNDECODABLE):  # then nobody has any of it
                return msgspec.msgpack.decode(fact, type=dict[str, int])
        return {}


def forget_taken(state: StateFile, product: str) -> None:
    """Of a product that is deleted; inside its transaction."""
    state.set_fact(_FACT + product, None)
