"""The real card's temperature: its runtime reports none, its log collector prints them."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

_LOGGER: Final = logging.getLogger(__name__)
_TEMPERATURES: Final = re.compile(rb"core_temps=\[(-?\d{1,3}(?:,-?\d{1,3})*)\]")
_STALE_S: Final = 10.0
_RETRY_S: Final = 30.0
_KILLED_S: Final = 1.0
_PART: Final = 65_536  # bytes
_MOST_PARTS: Final = 16  # in one look: a command without end must not hold its caller


def celsius_of(log: bytes) -> float | None:
    """Highest temperature of the last ``core_temps=[…]`` in a log, °C; None without one.

    The values are those of the board and of the four cores (Voyager SDK, thermal guide).
    """
    found = _TEMPERATURES.findall(log)
    return float(max(map(int, found[-1].split(b",")))) if found else None


class CardLog:
    """Follows what the vendor's log collector prints; any thread may ask.

    The command runs until :meth:`close`, and again 30 s after it ended.  It prints to a terminal,
    so that its lines do not wait in a buffer.  Nothing is raised: what is not known is None.
    """

    def __init__(
        self, command: Sequence[str], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._command = tuple(command)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._terminal: int | None = None
        self._begun: float | None = None
        self._rest = b""  # of a line whose end has not come
        self._celsius: float | None = None
        self._measured_at = 0.0
        self._lost = ""  # why there is no temperature, as it was logged
        self._closed = False

    def celsius(self) -> float | None:
        """The card's highest temperature, °C; None if the log gave none for 10 s.  Never waits."""
        with self._lock:
            now = self._monotonic()
            if self._terminal is None and not self._closed:
                self._begin(now)
            measured = celsius_of(self._lines())
            if measured is not None:
                self._celsius, self._measured_at, self._lost = measured, now, ""
            return self._celsius if now - self._measured_at <= _STALE_S else None

    def close(self) -> None:
        """End the command; may be called again."""
        with self._lock:
            self._closed = True
            self._end()

    def _begin(self, now: float) -> None:
        if self._begun is not None and now - self._begun < _RETRY_S:
            return
        self._begun = now
        try:
            self._terminal, printed = os.openpty()
            os.set_blocking(self._terminal, False)
            try:
                self._child = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=subprocess.DEVNULL,
                )
            finally:
                os.close(printed)
        except OSError as error:
            self._lose(f"cannot run: {error}")

    def _lines(self) -> bytes:
        """The complete lines that came since the last look."""
        log = self._rest
        for _ in range(_MOST_PARTS):
            if self._terminal is None:
                break
            try:
                log += os.read(self._terminal, _PART)
            except BlockingIOError:
                break
            except OSError:  # the command has closed its end of the terminal
                self._lose("ended")
        lines, end, rest = log.rpartition(b"\n")
        self._rest = rest[-_PART:]
        return lines + end

    def _lose(self, cause: str) -> None:
        self._end()
        if cause != self._lost:  # not at each attempt
            self._lost, command = cause, " ".join(self._command)
            _LOGGER.warning("the card's temperature is not measured: %s %s", command, cause)

    def _end(self) -> None:
        if self._terminal is not None:
            os.close(self._terminal)
        self._terminal, self._rest = None, b""
        if self._child is not None:
            self._child.kill()
            with suppress(subprocess.TimeoutExpired):  # it hangs in a driver
                self._child.wait(_KILLED_S)
            self._child = None
