"""What the state last was, kept beside its file: how many transactions, and one sum over all rows.

SQLite ends at the first damaged frame of its log and says nothing: without the mark a bit there
would take back what was promised.  The sum proves a restored state.  The mark is written after the
transaction is on the disk, and not synchronised: it may lag behind the state, which only makes a
proof impossible, but never runs ahead.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from flightsw.state.schema import row_checksum

_CONTENT: Final = struct.Struct(">QQQ")  # the mark, then its checksum


class StateMark(NamedTuple):
    """Transactions so far, and the sum of the checksums of all rows."""

    transactions: int
    digest: int


class MarkFile:
    """The file; a mark that cannot be read or written is done without."""

    def __init__(self, path: Path) -> None:
        self._descriptor = -1
        with suppress(OSError):  # a full disk
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            self._descriptor = os.open(path, flags, 0o600)
        self.found = self._read()
        """The mark when the file was opened; None if there was none, or it was damaged."""

    def write(self, mark: StateMark) -> None:
        """The state is on the disk as the mark says."""
        if self._descriptor >= 0:
            content = _CONTENT.pack(*mark, row_checksum("mark", *mark))
            with suppress(OSError):  # it lags behind
                os.pwrite(self._descriptor, content, 0)

    def close(self) -> None:
        """Release the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self) -> StateMark | None:
        if self._descriptor < 0:
            return None
        try:
            *numbers, checksum = _CONTENT.unpack(os.pread(self._descriptor, _CONTENT.size, 0))
        except (OSError, struct.error):
            return None
        return StateMark(*numbers) if checksum == row_checksum("mark", *numbers) else None
