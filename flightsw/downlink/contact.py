"""Contact windows: products go down only inside one, and only as many bytes as it has."""

from __future__ import annotations

import threading

from telecommands.dictionary import ContactState, OpenContact


class ContactWindow:
    """One window at a time; opening another replaces it.  Any thread may call.

    It closes when its time is over or when its bytes are used up, to the last one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes_left = 0
        self._ends_at = 0.0
        self._spent = 0

    @property
    def spent_bytes(self) -> int:
        """Bytes downlinked in the open window, or in the last one."""
        return self._spent

    def open(self, request: OpenContact, monotonic: float) -> None:
        """Open a window of the request's bytes and seconds."""
        with self._lock:
            self._bytes_left = request.bytes
            self._ends_at = monotonic + request.seconds
            self._spent = 0

    def close(self) -> None:
        """Close the window; harmless if none is open."""
        with self._lock:
            self._bytes_left = 0

    def take(self, size: int, monotonic: float) -> int | None:
        """How many of ``size`` bytes may be downlinked now: what is left; None if it is closed."""
        with self._lock:
            if not self._is_open(monotonic):
                return None
            granted = min(size, self._bytes_left)
            self._bytes_left -= granted
            self._spent += granted
            return granted

    def state(self, monotonic: float) -> ContactState:
        """The window as housekeeping reports it."""
        with self._lock:
            if not self._is_open(monotonic):
                return ContactState()
            return ContactState(
                open=True,
                bytes_left=self._bytes_left,
                seconds_left=self._ends_at - monotonic,
            )

    def _is_open(self, monotonic: float) -> bool:
        return self._bytes_left > 0 and monotonic < self._ends_at
