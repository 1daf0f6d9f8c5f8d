"""A token bucket: how often something may happen, in bursts and in the long run."""

from __future__ import annotations


class TokenBucket:
    """Starts full; one thread, or a lock of the caller.  Times are monotonic seconds."""

    __slots__ = ("_filled_at", "_tokens")

    def __init__(self, burst: float, monotonic: float) -> None:
        self._tokens = burst
        self._filled_at = monotonic

    def take(self, per_second: float, burst: float, monotonic: float) -> bool:
        """Take a token if there is one; refilled by ``per_second``, up to ``burst`` tokens."""
        refill = (monotonic - self._filled_at) * per_second
        self._tokens = min(burst, self._tokens + refill)
        self._filled_at = monotonic
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
