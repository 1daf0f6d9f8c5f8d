"""Heartbeats: the watchdog is fed only while every thread answers."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass
class _Heart:
    within_s: float
    beat_at: float


class Heartbeats:
    """When each thread last answered; every thread may call it.  Times are monotonic seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hearts: dict[str, _Heart] = {}

    def expect(self, name: str, within_s: float, monotonic: float) -> None:
        """From now on the thread must answer within ``within_s``; calling it again changes that."""
        with self._lock:
            self._hearts[name] = _Heart(within_s, monotonic)

    def forget(self, name: str) -> None:
        """The thread ended cleanly."""
        with self._lock:
            self._hearts.pop(name, None)

    def beat(self, name: str, monotonic: float) -> None:
        """The thread answers; a thread that is not expected (any more) is ignored."""
        with self._lock:
            heart = self._hearts.get(name)
            if heart is not None:
                heart.beat_at = max(heart.beat_at, monotonic)

    def ages(self, monotonic: float) -> dict[str, float]:
        """Seconds since each thread answered."""
        with self._lock:
            return {
                name: max(0.0, monotonic - heart.beat_at) for name, heart in self._hearts.items()
            }

    def stalled(self, monotonic: float) -> list[str]:
        """Threads that did not answer in time; the watchdog is fed only while there are none."""
        with self._lock:
            return [
                name
                for name, heart in self._hearts.items()
                if monotonic - heart.beat_at > heart.within_s
            ]
