"""Sequence numbers of a telecommand key, each used once on this machine."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from telecommands.auth import AHEAD
from telecommands.failure import reason_of
from telecommands.ground.errors import SequenceUnusable
from telecommands.whole_file import sync_folder

_BLOCK: Final = 32
_DIGITS: Final = 20
_LOCK_S: Final = 5.0
_HIGHEST: Final = 2**62


class SequenceFile:
    """A file that holds the first free number; processes may share it.

    Numbers are reserved in blocks, on the disk before one of them is used.  Reserved numbers
    that a process does not use are skipped, which the service accepts.  For one thread only.
    """

    def __init__(self, path: Path, *, block: int = _BLOCK) -> None:
        self._path = path
        self._block = block
        self._next = 0
        self._end = 0

    def next(self) -> int:
        """The next number, from 1; :class:`SequenceUnusable` if the file cannot be used."""
        if self._next >= self._end:
            with self._locked() as handle:
                self._reserve(handle, self._read(handle))
        self._next += 1
        return self._next - 1

    def advance(self, highest: int) -> None:
        """Continue at ``highest + 1`` if the service would reject the next number.

        ``highest`` is the number that the service gives with REPLAYED or OUT_OF_WINDOW.
        """
        with self._locked() as handle:
            free = self._read(handle)
            if not highest < free <= highest + AHEAD:
                free = highest + 1
            self._reserve(handle, free)

    def _reserve(self, handle: int, first: int) -> None:
        if first + self._block > _HIGHEST:
            cure = "Generate a new telecommand key under another name"
            raise SequenceUnusable(self._path, "has no sequence number left", cure)
        os.pwrite(handle, f"{first + self._block:0{_DIGITS}}\n".encode(), 0)
        os.fsync(handle)
        self._next, self._end = first, first + self._block

    def _read(self, handle: int) -> int:
        content = os.pread(handle, _DIGITS + 2, 0)
        if not content:
            return 1
        if len(content) != _DIGITS + 1 or not content[:-1].isdigit() or int(content) < 1:
            cure = "Remove it: the service then gives the number to continue at"
            raise SequenceUnusable(self._path, "does not hold a sequence number", cure)
        return int(content)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            new = not self._path.exists()
            handle = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            if new:
                sync_folder(self._path.parent)
            self._lock(handle)
            yield handle
        except OSError as error:
            raise self._unusable(error) from error
        finally:
            os.close(handle)

    def _lock(self, handle: int) -> None:
        deadline = time.monotonic() + _LOCK_S
        while True:
            try:
                return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    cause = "is locked by another process"
                    raise SequenceUnusable(self._path, cause, "End that process") from error
            time.sleep(0.01)

    def _unusable(self, error: OSError) -> SequenceUnusable:
        cause = f"cannot be used ({reason_of(error)})"
        return SequenceUnusable(self._path, cause, "Give a file that can be written")
