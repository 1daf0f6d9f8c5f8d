"""What Python says when a signal such as SIGSEGV ends the process: kept for the next start."""

from __future__ import annotations

import faulthandler
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FILE: Final = "crash.txt"
LAST: Final = "crash-last.txt"

_MOST_BYTES: Final = 64 * 1024
_STDERR: Final = 2
_PREFIX: Final = "Fatal Python error: "


@dataclass(frozen=True)
class Crash:
    """How the previous run crashed.

    ``signal`` is the signal in words, empty if the run did not end by one that Python reports:
    SIGKILL and power cuts leave nothing.  ``stacks`` holds the calls of each thread then.
    """

    signal: str = ""
    stacks: str = ""


class CrashReport:
    """The file that a crash is written to, in the folder of the state, which one process holds.

    Opening it reads what the previous run left, which ``crash-last.txt`` keeps.  If the file
    cannot be written (a full disk), the report goes to stderr instead, hence to the journal.
    """

    def __init__(self, folder: Path) -> None:
        self.last = Crash()
        self._descriptor = -1
        self._enabled_before = faulthandler.is_enabled()
        path = folder / FILE
        with suppress(OSError):
            self.last = _read(path)
            if self.last.signal:
                path.replace(folder / LAST)
        with suppress(OSError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(path, flags, 0o600)
        faulthandler.enable(_STDERR if self._descriptor < 0 else self._descriptor)

    def close(self) -> None:
        """Report to stderr again, or not at all, as before."""
        faulthandler.disable()
        if self._enabled_before:
            faulthandler.enable(_STDERR)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _read(path: Path) -> Crash:
    with path.open("rb") as file:
        text = file.read(_MOST_BYTES).decode("utf-8", "replace")
    first, _, stacks = text.partition("\n")
    if not first.startswith(_PREFIX):
        return Crash()
    return Crash(first.removeprefix(_PREFIX).strip(), stacks.strip())
