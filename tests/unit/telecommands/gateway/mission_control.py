"""A mission-control system's end of the connection, as far as tests need it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from spacepackets.ecss.tm import PusTm
from typing_extensions import Self

from telecommands.dictionary import Verification
from telecommands.gateway.layout import layout_of
from telecommands.gateway.packets import STATUS_STRUCTURE, Stamp
from telecommands.gateway.status import GatewayStatus
from telecommands.gateway.times import LENGTH

SECONDS = 20.0


class MissionControl:
    """Reads packets and sends telecommands.  A context manager."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, SECONDS)
        self._file = self.socket.makefile("rb")
        self.raw: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def send(self, packet: bytes) -> None:
        self.socket.sendall(packet)

    def packets(self) -> Iterator[PusTm]:
        """Packets as they arrive, checked; ends when the gateway closes the connection."""
        while True:
            try:
                header = self._file.read(6)
                if len(header) < 6:
                    return
                raw = header + self._file.read(int.from_bytes(header[4:], "big") + 1)
            except ConnectionError:
                return
            self.raw.append(raw)
            yield PusTm.unpack(raw, timestamp_len=LENGTH)

    def until(self, holds: Callable[[PusTm], Any]) -> PusTm:
        """The first packet for which it holds."""
        deadline = time.monotonic() + SECONDS
        for packet in self.packets():
            if holds(packet):
                return packet
            assert time.monotonic() < deadline, "no such packet"
        raise AssertionError("the connection was closed")

    def stages(self, request: bytes) -> list[tuple[int, dict[str, Any]]]:
        """Subtypes and records of service 1 for the telecommand, until it is closed."""
        found = []
        for packet in self.packets():
            data = bytes(packet.source_data)
            if packet.service != 1 or data[:4] != request[:4]:
                continue
            _, at = layout_of(Stamp).decode(data, 5)
            record, _ = layout_of(Verification).decode(data, at)
            found.append((packet.message_subtype, record))
            if packet.message_subtype in (2, 7, 8):
                return found
        raise AssertionError("the connection was closed")

    def status(self, holds: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """The first status of the gateway for which it holds."""
        found: dict[str, Any] = {}

        def fits(packet: PusTm) -> bool:
            nonlocal found
            data = bytes(packet.source_data)
            if (packet.service, data[:1]) != (3, bytes([STATUS_STRUCTURE])):
                return False
            _, at = layout_of(Stamp).decode(data, 1)
            found, _ = layout_of(GatewayStatus).decode(data, at)
            return bool(holds(found))

        self.until(fits)
        return found
