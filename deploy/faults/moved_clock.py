"""UTC that a campaign moves while a process runs: years back, years ahead, hours in mid-work.

The process reads a small file at each look at the clock; the monotonic clock stays the machine's.
"""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path
from typing import Final

_OFFSET: Final = struct.Struct("<q")
_SECOND: Final = 10**9


def set_offset(path: Path, seconds: float) -> None:
    """Move the clock of each process that installed ``path``, by ``seconds`` from the true time."""
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.write(_OFFSET.pack(round(seconds * _SECOND)))


def install(path: Path) -> None:
    """Let this process have the time that the file says; the file must exist."""
    with path.open("rb") as file:
        offset = mmap.mmap(file.fileno(), _OFFSET.size, access=mmap.ACCESS_READ)
    true_ns = time.time_ns

    def moved_ns() -> int:
        return true_ns() + int(_OFFSET.unpack_from(offset)[0])

    time.time_ns = moved_ns
    time.time = lambda: moved_ns() / _SECOND


def hook(folder: Path, path: Path) -> Path:
    """A new folder that, in ``PYTHONPATH``, installs ``path`` in any Python process."""
    folder.mkdir()
    lines = ("from pathlib import Path", "from deploy.faults.moved_clock import install")
    text = "\n".join((*lines, f"install(Path({str(path)!r}))", ""))
    (folder / "sitecustomize.py").write_text(text)
    return folder
