"""Receive the service's telemetry, and count lost packets."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import zmq

from telecommands.codec import decode_packet
from telecommands.dictionary import Packet, Record, Role
from telecommands.ground.connection import Connection, GroundKeys, LinkClient
from telecommands.ground.handshake import Finding
from telecommands.refusal import Refusal


class Place(NamedTuple):
    """Position of a packet within its topic; ``t`` is UTC nanoseconds."""

    boot: int
    seq: int
    t: int


class TelemetryClient(LinkClient):
    """Packets of the topics that begin with one of ``topics``.  For one thread at a time.

    ``lost`` counts missing packets by topic, ``repeated`` those sent again for a new subscriber
    or REPORT_LATEST, ``unreadable`` messages that are not packets.
    """

    def __init__(
        self,
        endpoint: str,
        keys: GroundKeys,
        topics: Sequence[str] = ("",),
        *,
        monitored: bool = False,
    ) -> None:
        super().__init__(
            Connection(zmq.SUB, endpoint, keys, role=Role.WATCH, topics=topics, monitored=monitored)
        )
        self._order = PacketOrder()
        self.lost, self.repeated = self._order.lost, self._order.repeated
        self.unreadable = 0

    @property
    def finding(self) -> Finding | None:
        """What a ``monitored`` link knows of the service."""
        return self._connection.finding

    def packets(self, timeout_s: float) -> Iterator[tuple[str, Packet, Record]]:
        """Topic, packet and body of all packets within ``timeout_s``, each once.

        0: those that have arrived, which costs a caller that looks now and then the least.
        """
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
    """Finds new and missing packets by their numbers.

    Numbers restart with each boot, and the first packet may have any number.  A newer packet of
    the same boot with a lower number also restarts them: another unit, or a deleted state file.
    """

    def __init__(self) -> None:
        self.lost: Counter[str] = Counter()
        self.repeated: Counter[str] = Counter()
        self._last: dict[str, Place] = {}

    def last(self, topic: str) -> Place | None:
        """Place of the last packet received."""
        return self._last.get(topic)

    def resume(self, topic: str, last: Place) -> None:
        """Continue after a packet that was received earlier."""
        self._last[topic] = last

    def is_new(self, topic: str, packet: Packet) -> bool:
        """Count a packet; whether it is new."""
        return self.missing_before(topic, packet) is not None

    def missing_before(self, topic: str, packet: Packet) -> int | None:
        """Count a packet: how many are missing right before it, None if it is a repetition."""
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
