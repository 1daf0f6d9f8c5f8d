"""Which user of this machine has how many WebSockets."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

MOST_OF_ONE: Final = 32
"""WebSockets of one client; a page has one."""

_CONNECTIONS: Final = Path("/proc/net/tcp")
_LOCAL, _REMOTE, _USER = 1, 2, 7  # columns of the kernel's table

Address = tuple[str, int]


def client_of(peer: Address | None, port: int) -> str:
    """The user id that owns the peer's end of a connection on this machine, else its address.

    All pages come from the loopback, also through a tunnel, so that the address says nothing.
    """
    if peer is None:
        return ""
    ends = [_hexadecimal(peer), _hexadecimal((peer[0], port))]
    try:
        for line in _CONNECTIONS.read_text().splitlines()[1:]:
            columns = line.split()
            if [columns[_LOCAL], columns[_REMOTE]] == ends:
                return f"user {columns[_USER]}"
    except OSError:  # another system, or a confined one
        pass
    return peer[0]


class SocketCounts:
    """Open WebSockets by client.  For the server's loop only."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @contextmanager
    def counted(self, client: str) -> Iterator[bool]:
        """Count a socket in this context; whether the client may have it."""
        if self._open[client] >= MOST_OF_ONE:
            yield False
            return
        self._open[client] += 1
        try:
            yield True
        finally:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]


def _hexadecimal(address: Address) -> str:
    """As in the kernel's table: the address in the machine's byte order, the port in hex."""
    try:
        (number,) = struct.unpack("=I", socket.inet_aton(address[0]))
    except OSError:
        return ""
    return f"{number:08X}:{address[1]:04X}"
