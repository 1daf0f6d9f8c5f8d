"""All telemetry of a scenario, recorded from its start, so that nothing comes too early."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from types import TracebackType
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


class Received(msgspec.Struct, frozen=True):
    """A recorded packet; it is known by its number, which counts all topics from 0."""

    topic: str
    record: Record


class Recorder:
    """Receives on a thread of its own and answers to others.  A context manager.

    To enter waits for the first packets, which the service sends to each new listener: what came
    by then happened before, and counts for state (``hk``) only.
    """

    def __init__(self, station: Station) -> None:
        self._station = station
        self._packets: list[Received] = []
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._failure: GroundError | None = None
        self._thread = threading.Thread(target=self._record, name="groundsim-recorder")
        self._start = 0

    def start_of(self, topic: str) -> int:
        """From which number on the scenario's packets of that topic count."""
        return 0 if topic == "hk" else self._start

    @property
    def number(self) -> int:
        """Number that the next packet will have."""
        with self._changed:
            return len(self._packets)

    def first(
        self, topic: str, where: Mapping[str, Any], since: int, deadline: float
    ) -> dict[str, Any] | None:
        """Fields of the first packet since that number in which all holds; None at the deadline.

        ``deadline`` is monotonic seconds.
        """
        looked = since
        while True:
            fresh = self._packets_since(looked, deadline)
            for packet in fresh:
                if packet.topic == topic:
                    fields = as_fields(packet.record)
                    if holds(where, fields):
                        return fields
            looked += len(fresh)
            if not fresh and time.monotonic() >= deadline:
                return None

    def last_unmet(self, topic: str, where: Mapping[str, Any], since: int) -> str:
        """Why nothing fitted: how many packets came, and what the last of them lacked."""
        with self._changed:
            came = [one for one in self._packets[since:] if one.topic == topic]
        if not came:
            return f"no packet of {topic} came"
        lacks = unmet(where, as_fields(came[-1].record))
        return f"none of {len(came)} packets fits; in the last one {lacks}"

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._await_first()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop recording."""
        self._stop.set()
        self._thread.join()

    def _await_first(self) -> None:
        endpoint = self._station.endpoints.telemetry
        if self.first("hk", {}, 0, time.monotonic() + _FIRST_S) is None:
            cause = f"no housekeeping within {_FIRST_S:g} s"
            raise NoAnswer(endpoint, cause, "Start the service, and check keys and endpoints")
        self._stop.wait(_SETTLE_S)  # the latest of the other topics comes along
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
                cause = f"more than {_MOST} packets came"
                raise GroundError("the scenario", cause, "Split it")
            self._packets.append(Received(topic, record))
            self._changed.notify_all()

    def _packets_since(self, number: int, deadline: float) -> list[Received]:
        """Wait for packets from that number on; none at the deadline."""
        with self._changed:
            self._changed.wait_for(
                lambda: len(self._packets) > number or self._failure is not None,
                timeout=max(0.0, deadline - time.monotonic()),
            )
            if self._failure is not None:
                raise self._failure
            return self._packets[number:]
