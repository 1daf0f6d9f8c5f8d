"""PDUs to and from one peer by UDP: one PDU in each datagram."""

from __future__ import annotations

import select
import socket
from collections import Counter
from typing import Final, TypeAlias

from telecommands.gateway.files.settings import LONGEST_PDU
from telecommands.ground.closable import Closable
from telecommands.ground.errors import LinkError

Address: TypeAlias = tuple[str, int]

_BUFFER_BYTES: Final = 4 << 20  # the system may grant less


class UdpLink(Closable):
    """A datagram socket that one thread uses; nothing blocks but :meth:`receive`, for a while.

    ``counts`` counts datagrams of unknown hosts and those that the system did not take.
    Raises :class:`LinkError` for an address that cannot be used.
    """

    def __init__(self, listen: Address, peer: Address, counts: Counter[str]) -> None:
        self._peer, self._counts = peer, counts
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                self._socket.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
            self._host = socket.gethostbyname(peer[0])
            self._socket.bind(listen)
        except OSError as error:
            self._socket.close()
            cure = "Give other addresses, as in --listen 127.0.0.1:7001 --peer 127.0.0.1:7002"
            cause = f"cannot be used for CFDP ({error.strerror or error})"
            raise LinkError(f"{listen[0]}:{listen[1]}", cause, cure) from error

    @property
    def address(self) -> Address:
        """Where it listens."""
        host, port = self._socket.getsockname()
        return host, port

    @property
    def ready(self) -> bool:
        """Always: UDP does not say whether the peer keeps up."""
        return True

    def send(self, pdu: bytes) -> None:
        """Send a PDU; one that the system does not take now is lost, as on any link."""
        try:
            self._socket.sendto(pdu, self._peer)
        except OSError:
            self._counts["not sent"] += 1

    def receive(self, timeout_s: float) -> bytes | None:
        """The next PDU of the peer's host; None if there is none within the time."""
        if not select.select([self._socket], [], [], timeout_s)[0]:
            return None
        try:
            pdu, (host, _) = self._socket.recvfrom(LONGEST_PDU + 1)
        except OSError:
            return None
        if host != self._host:
            self._counts["from an unknown host"] += 1
            return None
        return pdu

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
