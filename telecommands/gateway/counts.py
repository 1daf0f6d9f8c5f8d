"""Counts of packets, which continue after a restart."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Final

import msgspec
from typing_extensions import Self

from telecommands.failure import reason_of
from telecommands.ground.errors import SequenceUnusable
from telecommands.whole_file import sync_folder

SEQUENCE_MODULUS: Final = 1 << 14
MESSAGE_MODULUS: Final = 1 << 16

_SYNC_S: Final = 1.0
_LENGTH: Final = 512
"""One sector: a write of it is whole or absent after a power cut."""


class CountState(msgspec.Struct):
    """The next sequence count of the APID, and the next message counter by ``service.subtype``."""

    apid: int
    sequence: int = 0
    counters: dict[str, int] = {}


class Counts:
    """Gives each packet its numbers."""

    def __init__(self, state: CountState) -> None:
        self.state = state

    def next(self, service: int, subtype: int) -> tuple[int, int]:
        """Sequence count (14 bits) and message counter (16 bits) of the next packet."""
        state, kind = self.state, f"{service}.{subtype}"
        sequence, counter = state.sequence, state.counters.get(kind, 0)
        state.sequence = (sequence + 1) % SEQUENCE_MODULUS
        state.counters[kind] = (counter + 1) % MESSAGE_MODULUS
        return sequence, counter


class CountFile:
    """The counts of an APID in a file that one gateway holds.  A context manager.

    :meth:`write` before a packet is sent: a killed gateway then continues without a jump.  The disk
    has the counts after a second at most, so that only a power cut may repeat the last second's.
    Raises :class:`~telecommands.ground.errors.SequenceUnusable`.
    """

    def __init__(self, path: Path, apid: int) -> None:
        self._path = path
        self._written = b""
        self._synced_at = 0.0
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._handle = os.open(path, flags, 0o600)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.counts = Counts(self._read(apid))
            sync_folder(self._path.parent)
        except BlockingIOError as error:
            os.close(self._handle)
            cure = "End that gateway, or give another --counts file"
            raise SequenceUnusable(path, "is held by another gateway", cure) from error
        except OSError as error:
            os.close(self._handle)
            raise self._unusable(error) from error
        except SequenceUnusable:
            os.close(self._handle)
            raise

    def write(self) -> None:
        """Store the counts as they are now."""
        content = msgspec.json.encode(self.counts.state)
        if content == self._written:
            return
        now = time.monotonic()
        try:
            os.pwrite(self._handle, content.ljust(_LENGTH), 0)
            if now - self._synced_at >= _SYNC_S:
                os.fdatasync(self._handle)
                self._synced_at = now
        except OSError as error:
            raise self._unusable(error) from error
        self._written = content

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._synced_at = 0.0
            self.write()
            os.fdatasync(self._handle)
        finally:
            os.close(self._handle)

    def _read(self, apid: int) -> CountState:
        content = os.pread(self._handle, _LENGTH, 0)
        if not content:
            return CountState(apid)
        try:
            state = msgspec.json.decode(content, type=CountState)
        except msgspec.DecodeError as error:
            cure = "Remove it: the counts then begin at 0, which ground systems report as a jump"
            raise SequenceUnusable(self._path, "does not hold packet counts", cure) from error
        if state.apid != apid:
            cure = f"Give --apid {state.apid}, or another --counts file"
            raise SequenceUnusable(self._path, f"holds the counts of APID {state.apid}", cure)
        return state

    def _unusable(self, error: OSError) -> SequenceUnusable:
        cause = f"cannot be used ({reason_of(error)})"
        return SequenceUnusable(self._path, cause, "Give a file that can be written (--counts)")
