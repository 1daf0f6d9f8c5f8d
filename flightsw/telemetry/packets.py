"""Packets of one boot: their sequence numbers, and the latest of each topic."""

from __future__ import annotations

from typing import TypeAlias

from telecommands.codec import encode_packet
from telecommands.dictionary import Record, Topic

Frames: TypeAlias = tuple[bytes, bytes]
"""Topic and packet, as they go down."""


class PacketStream:
    """Numbers packets and remembers what was sent.  Its owner guards it against other threads."""

    def __init__(self, unit: str, boot: int) -> None:
        self._unit = unit
        self._boot = boot
        self._sequences: dict[Topic, int] = {}
        self._latest: dict[bytes, Frames] = {}

    def frames(self, topic: Topic, body: Record, now_ns: int) -> Frames:
        """The next packet of a topic; whatever becomes of it, its sequence number is used.

        ``now_ns`` is UTC.  Raises TypeError, ValueError or OverflowError, and uses no number,
        if the body holds what msgpack cannot carry.
        """
        sequence = self._sequences.get(topic, 0) + 1
        frames = encode_packet(
            topic, body, unit=self._unit, boot=self._boot, sequence=sequence, t=now_ns
        )
        self._sequences[topic] = sequence
        return frames

    def sent(self, frames: Frames) -> None:
        """Remember a packet as the latest of its topic that went out."""
        self._latest[frames[0]] = frames

    def latest(self, subscription: bytes = b"") -> list[Frames]:
        """The latest packet sent of each topic that starts with the subscription."""
        return [frames for topic, frames in self._latest.items() if topic.startswith(subscription)]
