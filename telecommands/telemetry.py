"""Listen to the service's telemetry, and count what was lost on the way."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence

import zmq

from telecommands.codec import decode_packet
from telecommands.connection import Connection, GroundKeys, LinkClient
from telecommands.dictionary import Packet, Record
from telecommands.refusal import Refusal


class TelemetryClient(LinkClient):
    """Packets of the topics that begin with one of ``topics``.  Not for several threads at once.

    ``lost`` counts missing packets by topic, ``repeated`` those that came again because somebody
    asked for the latest, ``unreadable`` what is no packet.
    """

    def __init__(self, endpoint: str, keys: GroundKeys, topics: Sequence[str] = ("",)) -> None:
        super().__init__(Connection(zmq.SUB, endpoint, keys, topics=topics))
        self._order = PacketOrder()
        self.unreadable = 0

    @property
    def lost(self) -> Counter[str]:
        """Packets that never came, by topic."""
        return self._order.lost

    @property
    def repeated(self) -> Counter[str]:
        """Packets that came again, by topic."""
        return self._order.repeated

    def packets(self, timeout_s: float) -> Iterator[tuple[str, Packet, Record]]:
        """Topic, packet and body of all that comes within ``timeout_s``, each packet once."""
        deadline = time.monotonic() + timeout_s
        while (frames := self._connection.receive(deadline)) is not None:
            try:
                topic, frame = (part.bytes for part in frames)
                packet, body = decode_packet(topic, frame)
            except (Refusal, ValueError):
                self.unreadable += 1
                continue
            name = topic.decode("ascii")
            if self._order.is_new(name, packet):
                yield name, packet, body


class PacketOrder:
    """What the packets' numbers tell: which are new, how many are missing."""

    def __init__(self) -> None:
        self.lost: Counter[str] = Counter()
        self.repeated: Counter[str] = Counter()
        self._last: dict[str, tuple[int, int]] = {}

    def is_new(self, topic: str, packet: Packet) -> bool:
        """Count a packet.  Numbers begin anew with each boot, and the first one heard is free."""
        boot, last = self._last.get(topic, (packet.boot, packet.seq - 1))
        if packet.boot != boot:
            last = packet.seq - 1
        elif packet.seq <= last:
            self.repeated[topic] += 1
            return False
        self.lost[topic] += packet.seq - last - 1
        self._last[topic] = (packet.boot, packet.seq)
        return True
