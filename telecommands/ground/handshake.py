"""Why a link does not come about, as far as ZeroMQ tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import zmq
from zmq.utils.monitor import recv_monitor_message

from telecommands.keys import PUBLIC_SUFFIX, SERVICE_KEY


class Finding(NamedTuple):
    """What the matter is with the other end of a link, and what helps.

    Where it ``is_final`` ZeroMQ does not try again by itself: it takes a new socket.
    """

    cause: str
    cure: str
    is_final: bool = False


THERE: Final = Finding(
    "the service is there, but silent", "Look at the service's log, or wait longer"
)
GONE: Final = Finding("the service is gone", "Start the service", is_final=True)
NOBODY: Final = Finding("nobody listens there", "Start the service, or correct the endpoint")
REFUSED: Final = Finding(
    "the service refuses this client's key",
    f"Authorise it: flightsw keys authorise NAME{PUBLIC_SUFFIX}",
    is_final=True,
)
UNFIT: Final = Finding(
    "the keys of the two sides do not fit, or something else listens there",
    f"Copy the service's {SERVICE_KEY} anew, and check that both sides use CURVE or neither",
)

_UNFIT_FOR_GOOD: Final = UNFIT._replace(is_final=True)
_TOLD: Final[Mapping[int, Finding]] = {
    zmq.EVENT_HANDSHAKE_SUCCEEDED: THERE,
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: REFUSED,
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: UNFIT,  # so a service of another key ends it
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: _UNFIT_FOR_GOOD,
    zmq.EVENT_CLOSED: NOBODY,
}


class HandshakeMonitor:
    """Watches a socket that is not connected yet."""

    def __init__(self, socket: zmq.Socket[Any]) -> None:
        self._events = socket.get_monitor_socket(sum(_TOLD) | zmq.EVENT_DISCONNECTED)
        self.finding: Finding | None = None
        """As of the last :meth:`look`; None before anything is known."""

    def look(self, timeout_ms: int) -> None:
        """Take in what happened, and wait so long where nothing did."""
        while self._events.poll(timeout_ms):
            timeout_ms = 0
            event = recv_monitor_message(self._events)["event"]
            self.finding = _TOLD.get(event) or self._after_disconnection()

    def _after_disconnection(self) -> Finding:
        if self.finding is THERE:
            return GONE
        if self.finding in (REFUSED, UNFIT, _UNFIT_FOR_GOOD):
            return self.finding
        return _UNFIT_FOR_GOOD  # what ends it before a handshake is no such service

    def close(self) -> None:
        """Its end of the events; the watched socket goes on."""
        self._events.close()
