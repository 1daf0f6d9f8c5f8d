"""Records all telemetry from a scenario's start, so that no packet is missed."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from typing_extensions import Self

from telecommands.dictionary import Record
from telecommands.ground.errors import GroundError, NoAnswer
from telecommands.ground.station import Station
from telecommands.groundsim.scenarios.conditions import as_fields, holds, unmet

_MOST: Final = 200_000
_TICK_S: Final = 0.1
_FIRST_S: Final = 10.0
_SETTLE_S: Final = 0.2


class RecordedPacket(msgspec.Struct, frozen=True):
    """A recorded packet.  Its number is its index among the packets of all topics."""

    topic: str
    record: Record


class Recorder:
    """Records on its own thread; other threads query it.  A context manager.

    Entering waits for the first packets, which the service sends to each new subscriber: they
    describe earlier events, so that only state (``hk``) counts among them.
    """

    def __init__(self, station: Station) -> None:
        self._station = station
        self._packets: list[RecordedPacket] = []
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._failure: GroundError | None = None
        self._thread = threading.Thread(target=self._record, name="groundsim-recorder")
        self._start = 0

    def start_of(self, topic: str) -> int:
        """Number of the first packet of the topic that counts for the scenario."""
        return 0 if topic == "hk" else self._start

    @property
    def number(self) -> int:
        """Number of the next packet."""
        with self._changed:
            return len(self._packets)

    def first(
        self, topic: str, where: Mapping[str, Any], since: int, deadline: float
    ) -> dict[str, Any] | None:
        """Fields of the first packet since that number that meets ``where``; None at the deadline.

        ``deadline`` is monotonic seconds.
        """
        checked = since
        while True:
            fresh = self._packets_since(checked, deadline)
            for packet in fresh:
                if packet.topic == topic:
                    fields = as_fields(packet.record)
                    if holds(where, fields):
                        return fields
            checked += len(fresh)
            if not fresh and time.monotonic() >= deadline:
                return None

    def last_unmet(self, topic: str, where: Mapping[str, Any], since: int) -> str:
        """Why no packet fitted: how many were received, and what the last of them lacked."""
        with self._changed:
            received = [one for one in self._packets[since:] if one.topic == topic]
        if not received:
            return f"no {topic} packet was received"
        lacks = unmet(where, as_fields(received[-1].record))
        return (
            f"none of {len(received)} {topic} packets meets the conditions; in the last one {lacks}"
        )

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._await_first()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop recording."""
        self._stop.set()
        self._thread.join()

    def _await_first(self) -> None:
        endpoint = self._station.endpoints.telemetry
        if self.first("hk", {}, 0, time.monotonic() + _FIRST_S) is None:
            cause = f"sent no housekeeping within {_FIRST_S:g} s"
            raise NoAnswer(endpoint, cause, "Start the service, and check keys and endpoints")
        self._stop.wait(_SETTLE_S)  # for the latest packets of the other topics
        self._start = self.number

    def _record(self) -> None:
        try:
            with self._station.telemetry() as client:
                while not self._stop.is_set():
                    for topic, _, record in client.packets(_TICK_S):
                        self._add(topic, record)
                        if self._stop.is_set():
                            break
        except GroundError as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _add(self, topic: str, record: Record) -> None:
        with self._changed:
            if len(self._packets) >= _MOST:
                cause = f"received more than {_MOST} packets"
                raise GroundError("the scenario", cause, "Split the scenario")
            self._packets.append(RecordedPacket(topic, record))
            self._changed.notify_all()

    def _packets_since(self, number: int, deadline: float) -> list[RecordedPacket]:
        """Wait for packets from that number on; return none at the deadline."""
        with self._changed:
            self._changed.wait_for(
                lambda: len(self._packets) > number or self._failure is not None,
                timeout=max(0.0, deadline - time.monotonic()),
            )
            if self._failure is not None:
                raise self._failure
            return self._packets[number:]
