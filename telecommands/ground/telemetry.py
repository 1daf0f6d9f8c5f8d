"""Listen to the service's telemetry, and count what was lost on the way."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import zmq

from telecommands.codec import decode_packet
from telecommands.dictionary import Packet, Record
from telecommands.ground.connection import Connection, GroundKeys, LinkClient
from telecommands.ground.handshake import Finding
from telecommands.refusal import Refusal


class Place(NamedTuple):
    """Of a packet among those of its topic; ``t`` is UTC nanoseconds."""

    boot: int
    seq: int
    t: int


class TelemetryClient(LinkClient):
    """Packets of the topics that begin with one of ``topics``.  Not for several threads at once.

    ``lost`` counts missing packets by topic, ``repeated`` those that came again because somebody
    asked for the latest, ``unreadable`` what is no packet.
    """

    def __init__(
        self,
        endpoint: str,
        keys: GroundKeys,
        topics: Sequence[str] = ("",),
        *,
        monitored: bool = False,
    ) -> None:
        super().__init__(Connection(zmq.SUB, endpoint, keys, topics=topics, monitored=monitored))
        self._order = PacketOrder()
        self.unreadable = 0

    @property
    def lost(self) -> Counter[str]:
        """Packets that never came, by topic."""
        return self._order.lost

    @property
    def finding(self) -> Finding | None:
        """What a ``monitored`` link knows of the service's end."""
        return self._connection.finding

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
    """What the packets' numbers tell: which are new, how many are missing.

    Numbers begin anew with each boot, and the first one heard is free.  So they do where a younger
    packet of the same boot has a lower number: another unit, or one whose state was removed.
    """

    def __init__(self) -> None:
        self.lost: Counter[str] = Counter()
        self.repeated: Counter[str] = Counter()
        self._last: dict[str, Place] = {}

    def last(self, topic: str) -> Place | None:
        """Of the last packet heard."""
        return self._last.get(topic)

    def resume(self, topic: str, last: Place) -> None:
        """Go on after a packet that was heard earlier."""
        self._last[topic] = last

    def is_new(self, topic: str, packet: Packet) -> bool:
        """Count a packet."""
        return self.missing_before(topic, packet) is not None

    def missing_before(self, topic: str, packet: Packet) -> int | None:
        """Count a packet: how many are missing right before it, None where it came already."""
        last = self._last.get(topic)
        missing = 0
        if last is not None and last.boot == packet.boot:
            if packet.seq > last.seq:
                missing = packet.seq - last.seq - 1
            elif packet.t <= last.t:
                self.repeated[topic] += 1
                return None
        self.lost[topic] += missing
        self._last[topic] = Place(packet.boot, packet.seq, packet.t)
        return missing
