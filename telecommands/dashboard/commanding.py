"""Telecommands of the pages, sent one after the other by a thread that owns the link."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from queue import Empty, Full, Queue
from typing import Any, Final

import msgspec

from telecommands.dashboard.forms import filled_in
from telecommands.dashboard.stages import StageLog
from telecommands.ground.commanding import TelecommandClient
from telecommands.ground.errors import GroundError, LinkError
from telecommands.ground.station import Station

MOST_WAITING: Final = 50
"""Telecommands that wait to be sent."""

ANSWER_S: Final = 30.0
"""A telecommand of which nothing was heard for so long is given up, and said to be."""

FOLLOW_S: Final = 86_400.0
"""An accepted one is followed so long: a job may wait its turn."""

_TURN_S: Final = 0.05


class _Order(msgspec.Struct, frozen=True):
    id: str
    name: str
    args: dict[str, Any]


class Commanding:
    """``submit`` from any thread; ``run`` on one of its own."""

    def __init__(self, station: Callable[[], Station], log: StageLog) -> None:
        self._station = station
        self._log = log
        self._orders: Queue[_Order] = Queue(MOST_WAITING)
        self._open: dict[str, tuple[str, float]] = {}
        self._client: TelecommandClient | None = None
        self._connected_to: Station | None = None

    def submit(self, name: str, args: Mapping[str, Any]) -> str:
        """Check a telecommand and have it sent; its id.

        Raises :class:`~telecommands.ground.errors.UsageError` in the dictionary's own words, and
        :class:`LinkError` where too many wait.
        """
        order = _Order(secrets.token_hex(8), name, filled_in(name, args, time.time_ns()))
        try:
            self._orders.put_nowait(order)
        except Full:
            cause = f"{MOST_WAITING} telecommands wait to be sent"
            raise LinkError(name, cause, "Look at the link, and try again") from None
        self._log.open(order.id)
        return order.id

    def run(self, stop: threading.Event) -> None:
        """Until ``stop`` is set."""
        with ExitStack() as clients:
            while not stop.is_set():
                try:
                    order = self._orders.get(timeout=_TURN_S)
                except Empty:
                    order = None
                if order is not None:
                    self._send(order, clients)
                self._read()
                self._give_up()

    def _send(self, order: _Order, clients: ExitStack) -> None:
        try:
            self._connected(clients).send(order.name, order.args, id=order.id)
        except GroundError as error:
            self._fail(order.id, order.name, error)
        else:
            self._open[order.id] = (order.name, time.monotonic() + ANSWER_S)

    def _connected(self, clients: ExitStack) -> TelecommandClient:
        """The client; a new one where the service listens elsewhere now, or keys are others."""
        station = self._station()
        if self._client is None or self._connected_to != station:
            clients.close()
            self._client = None
            self._client = clients.enter_context(station.commanding())
            self._connected_to = station
        return self._client

    def _read(self) -> None:
        if self._client is None or not self._open:
            return
        try:
            for stage in self._client.arrivals(_TURN_S):
                self._log.take(stage)
                name, until = self._open.get(stage.id, (stage.name, 0.0))
                if stage.stage.closes:
                    self._open.pop(stage.id, None)
                elif stage.id in self._open:
                    self._open[stage.id] = (name, max(until, time.monotonic() + FOLLOW_S))
        except GroundError as error:
            for id, (name, _) in list(self._open.items()):  # noqa: A001
                self._fail(id, name, error)

    def _give_up(self) -> None:
        now = time.monotonic()
        for id, (name, until) in list(self._open.items()):  # noqa: A001
            if now >= until:
                self._fail(id, name, LinkError(name, f"nobody answered within {ANSWER_S:g} s"))

    def _fail(self, id: str, name: str, error: GroundError) -> None:  # noqa: A002
        self._open.pop(id, None)
        if self._client is not None:
            self._client.forget(id)
        if not self._open:  # a link whose key was refused does not try again by itself
            self._connected_to = None
        self._log.fail(id, name, time.time_ns(), error.code, str(error))
