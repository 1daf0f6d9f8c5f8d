"""The telecommand link of a program that runs for long, such as a bridge or a gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Final

from telecommands.dictionary import Verification
from telecommands.ground.closable import Closable
from telecommands.ground.commanding import TelecommandClient
from telecommands.ground.station import Station

ANSWER_S: Final = 30.0
"""A telecommand without an answer for this long is given up."""

FOLLOW_S: Final = 86_400.0
"""An accepted telecommand is followed for this long: a job may wait in the queue."""


class CommandingLink(Closable):
    """Connects when it is used, and again when endpoints or keys change.  A context manager.

    For one thread.  ``station`` may raise a :class:`~telecommands.ground.errors.GroundError`.
    """

    def __init__(self, station: Callable[[], Station]) -> None:
        self._station = station
        self._clients = ExitStack()
        self._client: TelecommandClient | None = None
        self._connected_to: Station | None = None

    def client(self) -> TelecommandClient:
        """The client; a new one if the service's endpoints or the keys have changed."""
        station = self._station()
        if self._client is None or self._connected_to != station:
            self.close()
            self._client = self._clients.enter_context(station.commanding())
            self._connected_to = station
        return self._client

    def arrivals(self, timeout_s: float) -> Iterator[Verification]:
        """Stages that arrive within this time; none if it is not connected."""
        if self._client is not None:
            yield from self._client.arrivals(timeout_s)

    def forget(self, id: str) -> None:  # noqa: A002 - the interface's own name
        """Stop following a telecommand; on board it continues."""
        if self._client is not None:
            self._client.forget(id)

    def renew(self) -> None:
        """Connect again at the next use: a link whose key was refused does not recover."""
        self._connected_to = None

    def close(self) -> None:
        """Close the link."""
        self._client = None
        self._clients.close()
