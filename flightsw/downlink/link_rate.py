"""The length of a chunk: what the link to one receiver carries within a second."""

from __future__ import annotations

from typing import Final

_CHUNK_SECONDS: Final = 1.0  # a receiver sends a request again after 2 s without a chunk
_FIRST_BYTES: Final = 1024  # an unknown link may carry 9,600 bit/s
_LEAST_BYTES: Final = 128
_TICK_SECONDS: Final = 1e-6
_GROWTH: Final = 2  # a link with a buffer takes the first bytes faster than it carries them


class LinkRate:
    """Learns from the requests of one receiver, each of which confirms the bytes before it.

    The length at most doubles from one request to the next, follows the confirmed rate if that is
    less, and is halved if nothing more was confirmed.
    """

    def __init__(self) -> None:
        self._bytes = _FIRST_BYTES
        self._product = ""
        self._offset = 0
        self._at = 0.0

    def chunk_bytes(self, most: int) -> int:
        """Bytes of the next chunks, ``most`` at most."""
        self._bytes = min(self._bytes, most)
        return self._bytes

    def confirmed(self, product: str, offset: int, monotonic: float) -> None:
        """The receiver has stored all bytes of the product before ``offset``."""
        if product == self._product and offset >= self._offset:
            self._learn(offset - self._offset, monotonic - self._at)
        self._product, self._offset, self._at = product, offset, monotonic

    def _learn(self, stored: int, seconds: float) -> None:
        carried = stored * _CHUNK_SECONDS / max(seconds, _TICK_SECONDS)
        if not stored:
            carried = self._bytes / _GROWTH
        elif carried < self._bytes and seconds < _CHUNK_SECONDS:
            return  # a few bytes within a round trip: its length, not the rate of the link
        self._bytes = max(_LEAST_BYTES, int(min(carried, self._bytes * _GROWTH)))
