"""The telemetry of several units at a time, each on a link of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Final

from typing_extensions import Self

from telecommands.dictionary import Packet, Record
from telecommands.ground.errors import GroundError
from telecommands.ground.handshake import SILENT
from telecommands.ground.station import Station
from telecommands.ground.telemetry import TelemetryClient
from telecommands.ground.telemetry_state import TelemetryState

REOPEN_S: Final = 1.0

_CONNECTING: Final = "not connected yet"


class WatchedUnit:
    """A unit's link and the state that it reported.  For one thread at a time.

    ``station`` is called again while the link cannot be opened or established.
    """

    def __init__(
        self, name: str, station: Callable[[], Station], topics: Sequence[str] = ("",)
    ) -> None:
        self.name = name
        self.state = TelemetryState()
        self.trouble = _CONNECTING
        """Why there is no link; empty if there is one."""
        self._station = station
        self._topics = tuple(topics)
        self._client: TelemetryClient | None = None
        self._parts = ExitStack()
        self._reopen_at = 0.0
        self._stranger = ""

    def packets(self, timeout_s: float) -> Iterator[tuple[str, Packet, Record]]:
        """This unit's packets within ``timeout_s``; its :attr:`state` has them too."""
        if self._client is None and not self._opened():
            return
        assert self._client is not None
        if self._is_over(self._client):
            return
        for topic, packet, record in self._client.packets(timeout_s):
            self._stranger = "" if packet.unit == self.name else packet.unit
            if not self._stranger:
                self.state.take(topic, packet, record, time.monotonic())
                yield topic, packet, record
        self._is_over(self._client)

    @property
    def is_open(self) -> bool:
        """Whether there is a socket, so that :meth:`packets` waits."""
        return self._client is not None

    @property
    def lost(self) -> int:
        """Packets lost on this link."""
        return sum(self._client.lost.values()) if self._client is not None else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    def _opened(self) -> bool:
        if time.monotonic() < self._reopen_at:
            return False
        self._reopen_at = time.monotonic() + REOPEN_S
        try:
            client = self._station().telemetry(self._topics, monitored=True)
        except GroundError as error:
            self.trouble = error.sentence
            return False
        self._client = self._parts.enter_context(client)
        return True

    def _is_over(self, client: TelemetryClient) -> bool:
        """Note what the link knows of the service; close it if it cannot be established."""
        finding = client.finding
        if self._stranger:
            self.trouble = f"this endpoint belongs to unit {self._stranger}"
        elif finding is SILENT:
            self.trouble = ""
        else:
            self.trouble = _CONNECTING if finding is None else finding.cause
        if finding is None or not finding.is_final:
            return False
        self._parts.close()
        self._client, self._stranger = None, ""
        return True


def watched(
    stations: Mapping[str, Callable[[], Station]], topics: Sequence[str], opened: ExitStack
) -> list[WatchedUnit]:
    """The units of these stations; ``opened`` closes their links."""
    return [
        opened.enter_context(WatchedUnit(name, station, topics))
        for name, station in stations.items()
    ]
