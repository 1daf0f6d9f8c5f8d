"""Sends the telecommands of all pages in order, on the thread that owns the link."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import Any, Final

import msgspec

from telecommands.dashboard.forms import filled_in
from telecommands.dashboard.stages import StageLog
from telecommands.ground.commanding import check_arguments
from telecommands.ground.commanding_link import ANSWER_S, FOLLOW_S, CommandingLink
from telecommands.ground.errors import ArchiveError, GroundError, LinkError, NotConfirmed
from telecommands.ground.station import Station

MOST_WAITING: Final = 50
"""Telecommands that may wait to be sent."""

_TURN_S: Final = 0.05


class _Request(msgspec.Struct, frozen=True):
    id: str
    name: str
    args: dict[str, Any]
    entered: str


class Commanding:
    """``submit`` is for any thread; ``run`` needs its own.

    ``keep`` is called with the id of each telecommand and the JSON of its arguments as entered.
    """

    def __init__(
        self, station: Callable[[], Station], log: StageLog, keep: Callable[[str, str], None]
    ) -> None:
        self._link = CommandingLink(station)
        self._keep = keep
        self._log = log
        self._requests: Queue[_Request] = Queue(MOST_WAITING)
        self._open: dict[str, tuple[str, float]] = {}

    def submit(self, name: str, args: Mapping[str, Any], *, confirmed: bool = False) -> str:
        """Check a telecommand and queue it; return its id.

        Raises :class:`~telecommands.ground.errors.UsageError` for invalid arguments,
        :class:`NotConfirmed` for a hazardous telecommand unless it is ``confirmed``, and
        :class:`LinkError` if the queue is full.
        """
        entered = msgspec.json.encode(args).decode() if args else ""
        filled = filled_in(name, args, time.time_ns())
        if check_arguments(name, filled) and not confirmed:
            raise NotConfirmed(name, "is hazardous and was not confirmed", "Confirm it")
        request = _Request(secrets.token_hex(8), name, filled, entered)
        try:
            self._requests.put_nowait(request)
        except Full:
            cause = f"cannot be sent: {MOST_WAITING} telecommands are waiting"
            raise LinkError(name, cause, "Check the link, and try again") from None
        self._log.open(request.id, entered)
        return request.id

    def run(self, stop: threading.Event) -> None:
        """Send and read stages until ``stop`` is set."""
        with self._link:
            while not stop.is_set():
                try:
                    request = self._requests.get(timeout=_TURN_S)
                except Empty:
                    request = None
                if request is not None:
                    self._send(request)
                self._read()
                self._give_up()

    def _send(self, request: _Request) -> None:
        with suppress(ArchiveError):  # the feed reports it; telecommands must be sent nevertheless
            self._keep(request.id, request.entered)
        try:
            self._link.client().send(request.name, request.args, id=request.id)
        except GroundError as error:
            self._fail(request.id, request.name, error)
        else:
            self._open[request.id] = (request.name, time.monotonic() + ANSWER_S)

    def _read(self) -> None:
        if not self._open:
            return
        try:
            for stage in self._link.arrivals(_TURN_S):
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
                self._fail(id, name, LinkError(name, f"was not answered within {ANSWER_S:g} s"))

    def _fail(self, id: str, name: str, error: GroundError) -> None:  # noqa: A002
        self._open.pop(id, None)
        self._link.forget(id)
        if not self._open:
            self._link.renew()
        self._log.fail(id, name, time.time_ns(), error)
