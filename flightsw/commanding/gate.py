"""Which keys may command, how fast, and each sequence number once."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from flightsw.host.token_bucket import TokenBucket
from flightsw.state import StateFile
from telecommands.auth import WINDOW, SequenceWindow, TelecommandKey, verify
from telecommands.codec import check_frames, decode_body, decode_header, read_label
from telecommands.dictionary import Code, TelecommandBody, TelecommandHeader
from telecommands.refusal import Refusal

_BURST: Final = 2.0  # seconds of the rate that may come in one burst
_WINDOW: Final = struct.Struct(f">Q{WINDOW // 8}s")  # highest, then which were seen


@dataclass(frozen=True)
class Admitted:
    """An authentic, fresh telecommand; its arguments are not checked yet."""

    key_id: str
    sequence: int
    body: TelecommandBody


class Gate:
    """Checks telecommands, cheapest check first, and keeps the sequence windows.

    ``unit`` is the name of this unit.  ``keys`` gives the authorised telecommand keys by id,
    ``rate`` the telecommands a second that each of them may send (twice as many in one burst).
    :meth:`admit` and :meth:`keep` belong to one thread, :meth:`flush` may be called by any.
    """

    def __init__(
        self,
        state: StateFile,
        unit: str,
        keys: Callable[[], Mapping[str, TelecommandKey]],
        rate: Callable[[], float],
    ) -> None:
        self._state = state
        self._unit = unit
        self._keys = keys
        self._rate = rate
        self._buckets: dict[str, TokenBucket] = {}
        self._lock = threading.Lock()  # of both windows; innermost: taken under the state's lock
        with state.reading() as db:
            rows = db.execute("SELECT key_id, window FROM sequence_windows").fetchall()
        self._windows = {key_id: _unpacked(window) for key_id, window in rows}
        self._flushed = dict(self._windows)

    def knows(self, key_id: str) -> bool:
        """Whether telecommands of this key are accepted now."""
        return key_id in self._keys()

    def admit(self, frames: Sequence[bytes], monotonic: float) -> Admitted:
        """The telecommand in two received frames; its sequence number is used up.

        Raises :class:`Refusal`: MALFORMED, OVERSIZED, WRONG_VERSION, WRONG_UNIT, UNKNOWN_KEY,
        BAD_MAC, RATE_LIMITED (the number is not used up), REPLAYED or OUT_OF_WINDOW.  Its ``data``
        holds the ``id`` and ``name`` that the body claims and the header's ``key_id``, if readable.
        """
        header_frame, body_frame = check_frames(frames)
        claimed = {}
        try:
            header = decode_header(header_frame)
            claimed["key_id"] = header.key_id
            self._authenticate(header, body_frame)
            after = self._after(header)  # before the rate: replays use up nothing of their victim
            self._spend(header.key_id, monotonic)
            with self._lock:
                self._windows[header.key_id] = after
            return Admitted(header.key_id, header.sequence, decode_body(body_frame))
        except Refusal as refusal:
            claimed["id"], claimed["name"] = read_label(body_frame)
            refusal.data.update(claimed)
            raise

    def keep(self, key_id: str) -> None:
        """Write a key's window: part of the transaction that accepts its telecommand.

        A window not kept (of READ_ONLY telecommands) is written by the next :meth:`flush`.
        """
        self._write({key_id: self._windows[key_id]})

    def flush(self) -> None:
        """Write every window that changed; after StateUnavailable the next flush does it."""
        if not self._unwritten():
            return
        with self._state.transaction():  # so that no older window replaces a newer one
            windows = self._unwritten()
            self._write(windows)
        with self._lock:
            self._flushed.update(windows)

    def _authenticate(self, header: TelecommandHeader, body: bytes) -> None:
        if header.unit != self._unit:
            cause = f"the telecommand is for {header.unit}, and this is {self._unit}"
            raise Refusal(Code.WRONG_UNIT, cause, "Check the endpoint and the name of the unit")
        key = self._keys().get(header.key_id)
        if key is None:
            cure = "Authorise the key on board, or use an authorised one"
            raise Refusal(Code.UNKNOWN_KEY, f"{header.key_id} is not an authorised key", cure)
        verify(header, body, key)

    def _spend(self, key_id: str, monotonic: float) -> None:
        rate = self._rate()
        burst = rate * _BURST
        # At most one for each authorised key.
        bucket = self._buckets.setdefault(key_id, TokenBucket(burst, monotonic))
        if not bucket.take(rate, burst, monotonic):
            cause = f"{key_id} sent more than {rate:g} telecommands a second"
            raise Refusal(Code.RATE_LIMITED, cause, "Send the same telecommand again, later")

    def _after(self, header: TelecommandHeader) -> SequenceWindow:
        """The key's window once the number is used up."""
        return self._windows.get(header.key_id, SequenceWindow()).take(header.sequence)

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


def _packed(window: SequenceWindow) -> bytes:
    return _WINDOW.pack(window.highest, window.seen.to_bytes(WINDOW // 8, "big"))


def _unpacked(kept: bytes) -> SequenceWindow:
    highest, seen = _WINDOW.unpack(kept)
    return SequenceWindow(highest, int.from_bytes(seen, "big"))
