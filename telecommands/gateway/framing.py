"""Space packets out of a stream of bytes.  No socket, no clock."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

HEADER_BYTES: Final = 6
MOST_TELECOMMAND_BYTES: Final = 16 * 1024

_HEADER: Final = struct.Struct(">HHH")
_VERSION_AND_TYPE: Final = 0xF000
_TELECOMMAND: Final = 0x1000
_SEQUENCE_FLAGS: Final = 0xC000


class FramingError(ValueError):
    """The bytes are not telecommand packets: where the next one begins is unknown."""


class PacketSplitter:
    """Splits a stream into telecommand packets; holds one packet at most."""

    def __init__(self) -> None:
        self._content = bytearray()

    @property
    def partial(self) -> bool:
        """Whether the last packet is incomplete so far."""
        return bool(self._content)

    def take(self, received: bytes) -> Iterator[bytes]:
        """The packets that are complete with these bytes.

        Raises :class:`FramingError` for a header that no telecommand has; the stream is then lost.
        """
        self._content += received
        while len(self._content) >= HEADER_BYTES:
            length = _length_of(self._content)
            if len(self._content) < length:
                return
            packet = bytes(self._content[:length])
            del self._content[:length]
            yield packet


def _length_of(content: bytearray) -> int:
    first, sequence, length = _HEADER.unpack_from(content)
    if first & _VERSION_AND_TYPE != _TELECOMMAND:
        raise FramingError(f"{content[:HEADER_BYTES].hex()} is not the header of a telecommand")
    if sequence & _SEQUENCE_FLAGS != _SEQUENCE_FLAGS:
        raise FramingError("the packet is a segment of a telecommand; only whole ones are read")
    total = int(length) + 1 + HEADER_BYTES
    if total > MOST_TELECOMMAND_BYTES:
        raise FramingError(f"the packet has {total} bytes, more than {MOST_TELECOMMAND_BYTES}")
    return total
