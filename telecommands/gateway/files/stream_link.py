"""PDUs to and from one peer by TCP: the peer connects, and PDUs follow each other."""

from __future__ import annotations

import select
import socket
from collections import Counter
from typing import Final

from telecommands.gateway.files.link import Address
from telecommands.ground.closable import Closable
from telecommands.ground.errors import LinkError
from telecommands.ground.listening import listening_socket

_FIXED_HEADER: Final = 4  # bytes; the second and third are the length of what follows the header
_VERSION: Final = 1  # of CFDP, in the first three bits
_MOST_WAITING: Final = 1 << 20  # bytes that the peer has not read
_ENOUGH_WAITING: Final = 1 << 18  # bytes from which it has enough to do
_READ_BYTES: Final = 1 << 16


class StreamLink(Closable):
    """Serves one connection, the newest; the peer's end of it loses what was on its way.

    A peer that does not read loses PDUs, and nothing waits for it.  ``counts`` counts those, and
    connections that were replaced.  Raises :class:`LinkError` for an address that cannot be used.
    """

    def __init__(self, listen: Address, counts: Counter[str]) -> None:
        self._counts = counts
        self._peer: socket.socket | None = None
        self._received, self._waiting = bytearray(), bytearray()
        try:
            self._server = listening_socket(listen)
        except OSError as error:
            cause = f"cannot be used for CFDP ({error.strerror or error})"
            cure = "Give another address, as in --listen 127.0.0.1:7001"
            raise LinkError(f"{listen[0]}:{listen[1]}", cause, cure) from error
        self._server.setblocking(False)

    @property
    def address(self) -> Address:
        """Where it listens."""
        host, port = self._server.getsockname()
        return host, port

    @property
    def ready(self) -> bool:
        """Whether the peer is there and reads."""
        return self._peer is not None and len(self._waiting) < _ENOUGH_WAITING

    def send(self, pdu: bytes) -> None:
        """Send a PDU; without a peer, or to one that does not read, it is lost."""
        if self._peer is None or len(self._waiting) + len(pdu) > _MOST_WAITING:
            self._counts["not sent"] += 1
            return
        self._waiting += pdu
        self._write()

    def receive(self, timeout_s: float) -> bytes | None:
        """The next PDU; None if there is none within the time."""
        if (pdu := self._next()) is not None:
            return pdu
        watched = [self._server] if self._peer is None else [self._server, self._peer]
        unwritten = [self._peer] if self._peer is not None and self._waiting else []
        readable, writable, _ = select.select(watched, unwritten, [], timeout_s)
        if writable:
            self._write()
        if self._server in readable:
            self._accept()
        elif readable:
            self._read()
        return self._next()

    def close(self) -> None:
        """Close the connection and the address."""
        self._drop()
        self._server.close()

    def _next(self) -> bytes | None:
        """Cut the next PDU off what was received."""
        header = self._received[:_FIXED_HEADER]
        if len(header) < _FIXED_HEADER:
            return None
        if header[0] >> 5 != _VERSION:
            self._counts["connections without CFDP"] += 1
            self._drop()  # where the next PDU begins is unknown
            return None
        ids, number = (header[3] >> 4 & 7) + 1, (header[3] & 7) + 1
        length = _FIXED_HEADER + 2 * ids + number + int.from_bytes(header[1:3], "big")
        if len(self._received) < length:
            return None
        pdu = bytes(self._received[:length])
        del self._received[:length]
        return pdu

    def _accept(self) -> None:
        try:
            peer, _ = self._server.accept()
        except OSError:  # it has gone again
            return
        if self._peer is not None:
            self._counts["connections replaced"] += 1
        self._drop()
        peer.setblocking(False)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peer = peer

    def _read(self) -> None:
        assert self._peer is not None
        try:
            data = self._peer.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop()
        self._received += data

    def _write(self) -> None:
        if self._peer is None:
            return
        try:
            del self._waiting[: self._peer.send(self._waiting)]
        except BlockingIOError:
            return
        except OSError:
            self._drop()

    def _drop(self) -> None:
        if self._peer is not None:
            self._peer.close()
        self._peer = None
        self._received.clear()
        self._waiting.clear()
