"""Sequence numbers of a telecommand key, never given out twice on this machine."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from telecommands.auth import AHEAD
from telecommands.ground.errors import SequenceUnusable

_BLOCK: Final = 32
_DIGITS: Final = 20
_LOCK_S: Final = 5.0
_HIGHEST: Final = 2**62


class SequenceFile:
    """A file that holds the first number nobody has yet; processes may share it.

    Numbers are reserved in blocks of 32, on the disk before one of them is used.  What a process
    reserved and did not use is left out, which the service accepts.  One thread uses an instance.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next = 0
        self._end = 0

    def next(self) -> int:
        """A number, from 1; :class:`SequenceUnusable` where the file cannot be used."""
        if self._next >= self._end:
            with self._locked() as handle:
                self._reserve(handle, self._read(handle))
        self._next += 1
        return self._next - 1

    def advance(self, highest: int) -> None:
        """Go on from ``highest + 1`` where the service would refuse what comes next.

        ``highest`` is what the service names with REPLAYED or OUT_OF_WINDOW.
        """
        with self._locked() as handle:
            free = self._read(handle)
            if not highest < free <= highest + AHEAD:
                free = highest + 1
            self._reserve(handle, free)

    def _reserve(self, handle: int, first: int) -> None:
        if first + _BLOCK > _HIGHEST:
            cure = "Generate a new telecommand key under another name"
            raise SequenceUnusable(self._path, "all sequence numbers are used up", cure)
        os.pwrite(handle, f"{first + _BLOCK:0{_DIGITS}}\n".encode(), 0)
        os.fsync(handle)
        self._next, self._end = first, first + _BLOCK

    def _read(self, handle: int) -> int:
        content = os.pread(handle, _DIGITS + 2, 0)
        if not content:
            return 1
        if len(content) != _DIGITS + 1 or not content[:-1].isdigit() or int(content) < 1:
            cure = "Remove it: the service tells where to go on"
            raise SequenceUnusable(self._path, "does not hold a sequence number", cure)
        return int(content)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            handle = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise self._unusable(error) from error
        try:
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
                    cause = "another process keeps it locked"
                    raise SequenceUnusable(self._path, cause, "End that process") from error
            time.sleep(0.01)

    def _unusable(self, error: OSError) -> SequenceUnusable:
        cause = f"cannot be used ({(error.strerror or str(error)).lower()})"
        return SequenceUnusable(self._path, cause, "Give a file that can be written")
