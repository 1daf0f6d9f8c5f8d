"""Why a link is not established, as far as ZeroMQ reports it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import zmq

from telecommands.dictionary import Role
from telecommands.keys import PUBLIC_SUFFIX, SERVICE_KEY


class Finding(NamedTuple):
    """State of the other end of a link, and the corrective action.

    If it ``is_final``, ZeroMQ does not try again: a new socket is needed.
    """

    cause: str
    cure: str
    is_final: bool = False

    @property
    def predicate(self) -> str:
        """What to say of the link's endpoint in an error."""
        return f"cannot be used: {self.cause}"


SILENT: Final = Finding(
    "connected, but the service does not answer", "Check the service log, or wait longer"
)
GONE: Final = Finding("the service closed the connection", "Start the service", is_final=True)
NOBODY: Final = Finding("nothing listens there", "Start the service, or correct the endpoint")
REFUSED: Final = Finding(
    "the service rejects this client's key",
    f"Authorise it: flightsw keys authorise NAME{PUBLIC_SUFFIX}",
    is_final=True,
)


def with_role(finding: Finding, role: Role) -> Finding:
    """The finding; if the key is rejected, with the role that the link needs.

    The service does not say why it rejects a key.
    """
    if finding is not REFUSED:
        return finding
    return Finding(
        f"{REFUSED.cause}, which is not authorised, has expired or lacks the role {role.value}",
        f"{REFUSED.cure} --roles {role.value},… (flightsw keys list shows its roles)",
        is_final=True,
    )


MISMATCH: Final = Finding(
    "the CURVE keys do not match, or something else listens there",
    f"Copy the service's {SERVICE_KEY} again, and check that both sides use CURVE or neither",
)

_FINAL_MISMATCH: Final = MISMATCH._replace(is_final=True)
_FINDINGS: Final[Mapping[int, Finding]] = {
    zmq.EVENT_HANDSHAKE_SUCCEEDED: SILENT,
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: REFUSED,
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: MISMATCH,  # a service with another key ends it so
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: _FINAL_MISMATCH,
    zmq.EVENT_CLOSED: NOBODY,
}


class HandshakeMonitor:
    """Watches a socket that is not connected yet."""

    def __init__(self, socket: zmq.Socket[Any]) -> None:
        self._events = socket.get_monitor_socket(sum(_FINDINGS) | zmq.EVENT_DISCONNECTED)
        self.finding: Finding | None = None
        """As of the last :meth:`poll`; None before anything is known."""

    def poll(self, timeout_ms: int) -> None:
        """Read the events so far; if there are none, wait up to ``timeout_ms`` for one."""
        # Loads asyncio, which takes 60 ms: a telecommand that is answered must not wait for it.
        from zmq.utils.monitor import recv_monitor_message  # noqa: PLC0415

        while self._events.poll(timeout_ms):
            timeout_ms = 0
            event = recv_monitor_message(self._events)["event"]
            self.finding = _FINDINGS.get(event) or self._after_disconnection()

    def _after_disconnection(self) -> Finding:
        if self.finding is SILENT:
            return GONE
        if self.finding in (REFUSED, MISMATCH, _FINAL_MISMATCH):
            return self.finding
        return _FINAL_MISMATCH  # a service ends no connection before its handshake

    def close(self) -> None:
        """Stop watching; the watched socket stays open."""
        self._events.close()
