"""Distributes realtime data to pages by bounded mailboxes; losses of slow pages are counted."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

MOST_WAITING: Final = 5000
"""Messages in a mailbox: ten seconds of 50 values at 10 Hz.  The oldest are dropped first."""

MOST_KEYS: Final = 2000
"""Subscriptions of one page."""

MOST_AT_ONCE: Final = 500


class Mailbox:
    """Messages for one page.  Any thread may post; the page's task takes.

    ``wake`` is called, on the posting thread, when an empty mailbox gets a message.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque()
        self._lagged = 0
        self.keys: frozenset[str] = frozenset()
        """Subscribed keys; changed by the page's task only."""

    def post(self, message: bytes) -> None:
        """Add a message; if the mailbox is full, the oldest is dropped and counted."""
        with self._lock:
            was_empty = not self._waiting
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.popleft()
                self._lagged += 1
            self._waiting.append(message)
        if was_empty:
            self._wake()

    def take(self) -> tuple[int, list[bytes]]:
        """Number of messages dropped since the last call, and the next messages."""
        with self._lock:
            lagged, self._lagged = self._lagged, 0
            count = min(MOST_AT_ONCE, len(self._waiting))
            return lagged, [self._waiting.popleft() for _ in range(count)]

    @property
    def is_empty(self) -> bool:
        """Whether the mailbox has no messages."""
        return not self._waiting


class Publisher:
    """Publishes messages to the mailboxes of the pages."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._mailboxes: tuple[Mailbox, ...] = ()

    def add(self, mailbox: Mailbox) -> None:
        """Deliver to this mailbox from now on."""
        with self._lock:
            self._mailboxes = (*self._mailboxes, mailbox)

    def remove(self, mailbox: Mailbox) -> None:
        """Stop delivering to this mailbox."""
        with self._lock:
            self._mailboxes = tuple(one for one in self._mailboxes if one is not mailbox)

    def wants(self, key: str) -> bool:
        """Whether any page subscribes to the key: other data need not be encoded."""
        return any(key in mailbox.keys for mailbox in self._mailboxes)

    def publish(self, key: str, message: bytes) -> None:
        """Send to the subscribers of the key."""
        for mailbox in self._mailboxes:
            if key in mailbox.keys:
                mailbox.post(message)

    def publish_all(self, messages: Iterable[bytes]) -> None:
        """Send to every page."""
        for message in messages:
            for mailbox in self._mailboxes:
                mailbox.post(message)
