"""Contact windows: products go down only inside one, and only as many bytes as it has."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Final

import msgspec

from flightsw.errors import StateUnavailable
from flightsw.state import StateFile
from telecommands.dictionary import ContactState, OpenContact
from telecommands.failure import UNDECODABLE

_FACT: Final = "contact"
_RESERVATIONS: Final = 128  # of a budget: so many writes, and a crash costs one of them at most


class _Kept(msgspec.Struct, frozen=True):
    """A window in the state file; ``bytes_left`` is never more than is left.

    ``ends_at`` is monotonic seconds of the computer's run ``machine_boot``.
    """

    bytes_left: int
    spent: int
    opened_ns: int
    ends_ns: int
    ends_at: float
    machine_boot: str


class ContactWindow:
    """One window at a time; opening another replaces it.  Any thread may call.

    It closes when its time is over or when its bytes are used up, to the last one.  It outlives a
    restart: bytes are counted as spent in the state file before they are downlinked, unless that
    file cannot be written, which must not keep products on board.

    ``machine_boot`` names the run of the computer, within which monotonic seconds count on.
    """

    def __init__(self, state: StateFile, machine_boot: str = "") -> None:
        self._state = state
        self._machine_boot = machine_boot
        self._lock = threading.Lock()  # taken inside a transaction, never around one
        self._kept: _Kept | None = None
        self._budget = 0
        self._bytes_left = 0
        self._reserved = 0  # of the bytes left: spent already, as the state file has it
        self._ends_at = 0.0
        self._spent = 0

    @property
    def spent_bytes(self) -> int:
        """Bytes downlinked in the open window, or in the last one."""
        return self._spent

    def open(self, request: OpenContact, monotonic: float, now_ns: int) -> None:
        """Open a window of the request's bytes and seconds.  Raises StateUnavailable.

        Inside a transaction of the caller it opens when that is committed.
        """
        kept = _Kept(
            bytes_left=request.bytes,
            spent=0,
            opened_ns=now_ns,
            ends_ns=now_ns + int(request.seconds * 1e9),
            ends_at=monotonic + request.seconds,
            machine_boot=self._machine_boot,
        )
        with self._state.transaction():
            self._state.set_fact(_FACT, msgspec.msgpack.encode(kept))
            self._state.after_commit(lambda: self._begin(kept))

    def restore(self, monotonic: float, now_ns: int) -> ContactState | None:
        """At boot: the window of the previous run, closed if it ended since; None: it had none."""
        fact = self._state.fact(_FACT)
        if fact is None:
            return None
        with suppress(*UNDECODABLE):  # then it stays closed
            kept = msgspec.msgpack.decode(fact, type=_Kept)
            with self._lock:
                self._kept = kept
                self._spent = kept.spent
                self._budget = self._bytes_left = kept.bytes_left
                self._ends_at = monotonic + self._seconds_left(kept, monotonic, now_ns)
        return self.state(monotonic)

    def close(self) -> None:
        """Close the window; harmless if none is open.  Raises StateUnavailable."""
        with self._state.transaction(), self._lock:
            self._bytes_left = self._reserved = 0
            self._write(None)

    def take(self, size: int, monotonic: float) -> int | None:
        """How many of ``size`` bytes may be downlinked now: what is left; None if it is closed."""
        with self._lock:
            if not self._is_open(monotonic):
                return None
            short = min(size, self._bytes_left) > self._reserved
        if short:
            with suppress(StateUnavailable):
                self._reserve(size)
        with self._lock:
            if not self._is_open(monotonic):
                return None
            granted = min(size, self._bytes_left)
            self._bytes_left -= granted
            self._reserved = max(0, self._reserved - granted)
            self._spent += granted
            return granted

    def keep(self, monotonic: float) -> None:
        """Write down what is left, if that changed.  Raises StateUnavailable."""
        if self._kept is not None and not self._is_kept(monotonic):
            with self._state.transaction(), self._lock:
                self._reserved = 0
                if self._is_open(monotonic):
                    self._write_left()
                else:
                    self._write(None)

    def state(self, monotonic: float) -> ContactState:
        """The window as housekeeping reports it."""
        with self._lock:
            if not self._is_open(monotonic):
                return ContactState()
            return ContactState(
                open=True,
                bytes_left=self._bytes_left,
                seconds_left=self._ends_at - monotonic,
            )

    def _begin(self, kept: _Kept) -> None:
        with self._lock:
            self._kept = kept
            self._budget = self._bytes_left = kept.bytes_left
            self._ends_at = kept.ends_at
            self._spent = self._reserved = 0

    def _reserve(self, size: int) -> None:
        with self._state.transaction(), self._lock:
            wanted = max(size, self._budget // _RESERVATIONS)
            self._reserved = min(wanted, self._bytes_left)
            self._write_left()

    def _write_left(self) -> None:
        if self._kept is not None:
            self._write(
                msgspec.structs.replace(
                    self._kept,
                    bytes_left=self._bytes_left - self._reserved,
                    spent=self._spent + self._reserved,
                )
            )

    def _write(self, kept: _Kept | None) -> None:
        self._state.set_fact(_FACT, None if kept is None else msgspec.msgpack.encode(kept))
        self._kept = kept

    def _seconds_left(self, kept: _Kept, monotonic: float, now_ns: int) -> float:
        if kept.machine_boot and kept.machine_boot == self._machine_boot:
            return kept.ends_at - monotonic
        if now_ns < kept.opened_ns:
            return 0.0  # the clock went back: nobody knows how long ago the window opened
        return (kept.ends_ns - now_ns) / 1e9

    def _is_open(self, monotonic: float) -> bool:
        return self._bytes_left > 0 and monotonic < self._ends_at

    def _is_kept(self, monotonic: float) -> bool:
        kept = self._kept
        left = self._bytes_left if self._is_open(monotonic) else 0
        return kept is not None and left == kept.bytes_left > 0
