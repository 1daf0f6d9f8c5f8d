"""Which keys may command, how fast, and each sequence number once."""

from __future__ import annotations

import hashlib
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from flightsw.errors import StateUnavailable
from flightsw.host.token_bucket import TokenBucket
from flightsw.state import StateFile
from telecommands.auth import WINDOW, SequenceWindow, TelecommandKey, verify
from telecommands.codec import check_frames, decode_body, decode_header, read_label
from telecommands.dictionary import Code, Role, TelecommandBody, TelecommandHeader
from telecommands.refusal import Refusal

_BURST: Final = 2.0  # seconds of the rate that may come in one burst
_WINDOW: Final = struct.Struct(f">Q{WINDOW // 8}s")  # highest, then which were seen


@dataclass(frozen=True)
class AdmittedTelecommand:
    """An authentic, fresh telecommand; its arguments are not checked yet."""

    key: TelecommandKey
    sequence: int
    body: TelecommandBody

    @property
    def key_id(self) -> str:
        """The client's name."""
        return self.key.key_id


class Gate:
    """Checks telecommands, cheapest check first, and keeps the sequence windows.

    ``unit`` is the name of this unit.  ``keys`` gives the telecommand keys that count by id (two of
    an id during a rotation, each with a sequence window of its own), ``may`` whether the client of
    an id has a role, ``rate`` the telecommands a second that an id may send (twice as many in one
    burst).  :meth:`admit` and :meth:`keep` belong to one thread, :meth:`flush` may be called by
    any.
    """

    def __init__(
        self,
        state: StateFile,
        unit: str,
        keys: Callable[[], Mapping[str, Sequence[TelecommandKey]]],
        may: Callable[[str, Role], bool],
        rate: Callable[[], float],
    ) -> None:
        self._state = state
        self._unit = unit
        self._keys = keys
        self._may = may
        self._rate = rate
        self._buckets: dict[str, TokenBucket] = {}
        self._lock = threading.Lock()  # of both windows; innermost: taken under the state's lock
        with state.reading() as db:
            rows = db.execute("SELECT key_id, window FROM sequence_windows").fetchall()
        self._windows = {label: _unpacked(window) for label, window in rows}
        self._flushed = dict(self._windows)
        self._adopt()

    def knows(self, key_id: str) -> bool:
        """Whether telecommands of this key are accepted now."""
        return key_id in self._keys() and self._may(key_id, Role.COMMAND)

    def require(self, key_id: str, role: Role, what: str) -> None:
        """:class:`Refusal` NOT_PERMITTED unless the client has the role, which ``what`` needs."""
        if not self._may(key_id, role):
            cause = f"{key_id} does not have the role {role.value}, which {what} needs"
            cure = f"Use another key, or on board: flightsw keys authorise {key_id}.key --roles"
            raise Refusal(Code.NOT_PERMITTED, cause, cure)

    def admit(self, frames: Sequence[bytes], monotonic: float) -> AdmittedTelecommand:
        """The telecommand in two received frames; its sequence number is used up.

        Raises :class:`Refusal`: MALFORMED, OVERSIZED, WRONG_VERSION, WRONG_UNIT, UNKNOWN_KEY,
        BAD_MAC, NOT_PERMITTED, RATE_LIMITED (the number is not used up), REPLAYED or OUT_OF_WINDOW.
        Its ``data`` holds the ``id`` and ``name`` that the body claims and the header's ``key_id``,
        if readable.
        """
        header_frame, body_frame = check_frames(frames)
        claimed = {}
        try:
            header = decode_header(header_frame)
            claimed["key_id"] = header.key_id
            key = self._authenticate(header, body_frame)
            self.require(header.key_id, Role.COMMAND, "every telecommand")
            label = _label(key)
            # Before the rate: replays use up nothing of their victim.
            after = self._windows.get(label, SequenceWindow()).take(header.sequence)
            self._spend(header.key_id, monotonic)
            with self._lock:
                self._windows[label] = after
            return AdmittedTelecommand(key, header.sequence, decode_body(body_frame))
        except Refusal as refusal:
            claimed["id"], claimed["name"] = read_label(body_frame)
            refusal.data.update(claimed)
            raise

    def keep(self, key: TelecommandKey) -> None:
        """Write a key's window: part of the transaction that accepts its telecommand.

        A window not kept (of READ_ONLY telecommands) is written by the next :meth:`flush`.
        """
        self._write({_label(key): self._windows[_label(key)]})

    def flush(self) -> None:
        """Write every window that changed; after StateUnavailable the next flush does it."""
        if not self._unwritten():
            return
        with self._state.transaction():  # so that no older window replaces a newer one
            windows = self._unwritten()
            self._write(windows)
        with self._lock:
            self._flushed.update(windows)

    def _adopt(self) -> None:
        """Windows of an earlier release, one for each id, become those of the keys in use."""
        keys = self._keys()
        adopted = {key_id: keys[key_id][0] for key_id in self._windows if key_id in keys}
        if not adopted:
            return
        for key_id, key in adopted.items():
            self._windows.setdefault(_label(key), self._windows.pop(key_id))
        with suppress(StateUnavailable), self._state.transaction() as db:  # else at the next start
            self._write({_label(key): self._windows[_label(key)] for key in adopted.values()})
            db.executemany("DELETE FROM sequence_windows WHERE key_id = ?", [*zip(adopted)])

    def _authenticate(self, header: TelecommandHeader, body: bytes) -> TelecommandKey:
        """The key that signed: during a rotation one of two."""
        if header.unit != self._unit:
            cause = f"the telecommand is for {header.unit}, and this is {self._unit}"
            raise Refusal(Code.WRONG_UNIT, cause, "Check the endpoint and the name of the unit")
        keys = self._keys().get(header.key_id)
        if not keys:
            cure = "Authorise the key on board, or use an authorised one"
            raise Refusal(Code.UNKNOWN_KEY, f"{header.key_id} is not an authorised key", cure)
        for key in keys[:-1]:
            with suppress(Refusal):
                verify(header, body, key)
                return key
        verify(header, body, keys[-1])
        return keys[-1]

    def _spend(self, key_id: str, monotonic: float) -> None:
        rate = self._rate()
        burst = rate * _BURST
        # At most one for each authorised key.
        bucket = self._buckets.setdefault(key_id, TokenBucket(burst, monotonic))
        if not bucket.take(rate, burst, monotonic):
            cause = f"{key_id} sent more than {rate:g} telecommands per second"
            raise Refusal(Code.RATE_LIMITED, cause, "Send the same telecommand again, later")

    def _unwritten(self) -> dict[str, SequenceWindow]:
        with self._lock:
            return {
                key_id: window
                for key_id, window in self._windows.items()
                if window is not self._flushed.get(key_id)
            }

    def _write(self, windows: Mapping[str, SequenceWindow]) -> None:
        with self._state.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO sequence_windows VALUES (?, ?)",
                [(key_id, _packed(window)) for key_id, window in windows.items()],
            )


def _label(key: TelecommandKey) -> str:
    """Of the key's window: a new key of the same id begins at 1."""
    return f"{key.key_id}#{hashlib.sha256(key.secret).hexdigest()[:16]}"


def _packed(window: SequenceWindow) -> bytes:
    return _WINDOW.pack(window.highest, window.seen.to_bytes(WINDOW // 8, "big"))


def _unpacked(kept: bytes) -> SequenceWindow:
    highest, seen = _WINDOW.unpack(kept)
    return SequenceWindow(highest, int.from_bytes(seen, "big"))
