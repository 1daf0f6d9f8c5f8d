"""How many chunks a receiver requests at a time."""

from __future__ import annotations

from typing import Final

MOST_CREDIT: Final = 256
"""Chunks of one request, at most: the range of ChunkRequest."""

_WINDOW_SECONDS: Final = 4.0
_FIRST: Final = 2  # chunks of a link whose rate is unknown
_GROWTH: Final = 2


class Credit:
    """The number of chunks that arrive within some seconds, ``most_bytes`` at most.

    No more than these are in transit: an interruption costs a slow link some seconds, and a fast
    link is busy.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._chunks = _FIRST

    @property
    def chunks(self) -> int:
        """Chunks to request."""
        return self._chunks

    def arrived(self, chunk_bytes: int, seconds: float) -> None:
        """All requested chunks arrived, the longest of ``chunk_bytes``, within ``seconds``."""
        within_time = int(self._chunks * _WINDOW_SECONDS / max(seconds, 1e-6))
        within_bytes = self._most_bytes // max(1, chunk_bytes)
        grown = min(self._chunks * _GROWTH, within_time, within_bytes, MOST_CREDIT)
        self._chunks = max(1, grown)

    def stalled(self) -> None:
        """The requested chunks did not all arrive."""
        self._chunks = max(1, self._chunks // _GROWTH)
