"""Realtime data to many pages: each has a bounded mailbox, and a slow one loses data, counted."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

MOST_WAITING: Final = 5000
"""Messages in a mailbox: ten seconds of 50 values at 10 Hz.  The oldest go first."""

MOST_KEYS: Final = 2000
"""Subscriptions of one page."""

MOST_AT_ONCE: Final = 500


class Mailbox:
    """Of one page.  Any thread may post; the page's own side takes.

    ``wake`` is called, on the poster's thread, when there is something after there was nothing.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque()
        self._lagged = 0
        self.keys: frozenset[str] = frozenset()
        """Changed by the page's side only."""

    def post(self, message: bytes) -> None:
        """Add a message; where there is no room, the oldest goes and is counted."""
        with self._lock:
            was_empty = not self._waiting
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.popleft()
                self._lagged += 1
            self._waiting.append(message)
        if was_empty:
            self._wake()

    def take(self) -> tuple[int, list[bytes]]:
        """How many messages were lost since the last call, and the next ones."""
        with self._lock:
            lagged, self._lagged = self._lagged, 0
            count = min(MOST_AT_ONCE, len(self._waiting))
            return lagged, [self._waiting.popleft() for _ in range(count)]

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting


class Hub:
    """All mailboxes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._mailboxes: tuple[Mailbox, ...] = ()

    def add(self, mailbox: Mailbox) -> None:
        """From now on it gets what it subscribes to."""
        with self._lock:
            self._mailboxes = (*self._mailboxes, mailbox)

    def remove(self, mailbox: Mailbox) -> None:
        """Its page is gone."""
        with self._lock:
            self._mailboxes = tuple(one for one in self._mailboxes if one is not mailbox)

    def wants(self, key: str) -> bool:
        """Whether any page subscribed to it: what nobody wants need not be encoded."""
        return any(key in mailbox.keys for mailbox in self._mailboxes)

    def tell(self, key: str, message: bytes) -> None:
        """To those who subscribed to the key."""
        for mailbox in self._mailboxes:
            if key in mailbox.keys:
                mailbox.post(message)

    def tell_all(self, messages: Iterable[bytes]) -> None:
        """To every page."""
        for message in messages:
            for mailbox in self._mailboxes:
                mailbox.post(message)
