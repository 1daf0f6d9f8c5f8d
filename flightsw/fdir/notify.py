"""Notifications of a service to systemd (sd_notify(3), sd_watchdog_enabled(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final

from flightsw.errors import LinkError

_SEND_SECONDS: Final = 0.5
_LONGEST_STATUS: Final = 500


class ServiceNotifier:
    """Sends datagrams to the service manager; does nothing if there is none.

    Every method says whether the message was sent; none raises, none waits longer than half a
    second.  Any thread may call them.
    """

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        self._address = None if address is None else _socket_address(address)
        self._watchdog_s = None if address is None else watchdog_s

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], process: int) -> ServiceNotifier:
        """As NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID say; ``process`` is this one's id.

        Raises :class:`LinkError` if they make no sense.
        """
        meant = environ.get("WATCHDOG_PID", str(process)) == str(process)
        microseconds = environ.get("WATCHDOG_USEC") if meant else None
        return cls(
            environ.get("NOTIFY_SOCKET") or None,
            None if microseconds is None else _watchdog_seconds(microseconds),
        )

    def feed_every(self, longest: float) -> float:
        """Seconds between two feeds: at most half the time limit, as systemd advises."""
        return longest if self._watchdog_s is None else min(longest, self._watchdog_s / 2)

    def ready(self) -> bool:
        """The service has started."""
        return self._send("READY=1")

    def status(self, text: str) -> bool:
        """One line for ``systemctl status``."""
        line = " ".join(text.split())[:_LONGEST_STATUS]
        return self._send(f"STATUS={line}")

    def watchdog(self) -> bool:
        """Feed the watchdog."""
        return self._send("WATCHDOG=1")

    def extend_timeout(self, seconds: float) -> bool:
        """Starting or stopping takes up to ``seconds`` longer."""
        return self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def stopping(self) -> bool:
        """The service shuts down cleanly."""
        return self._send("STOPPING=1")

    def _send(self, message: str) -> bool:
        if self._address is None:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(_SEND_SECONDS)
                sender.sendto(message.encode("utf-8", "replace"), self._address)
        except OSError:  # the manager restarts, or is gone
            return False
        return True


def _socket_address(name: str) -> bytes:
    if name.startswith("@"):
        return b"\0" + os.fsencode(name[1:])  # Linux's abstract namespace
    if name.startswith("/"):
        return os.fsencode(name)
    raise LinkError(f"NOTIFY_SOCKET={name!r}", "is not a unix socket", "Unset it")


def _watchdog_seconds(microseconds: str) -> float:
    if not microseconds.isascii() or not microseconds.isdigit() or int(microseconds) == 0:
        raise LinkError(
            f"WATCHDOG_USEC={microseconds!r}",
            "is not a positive number of microseconds",
            "Unset it",
        )
    return int(microseconds) / 1e6
