"""The machine that figures were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Final

import psutil

_BOARD: Final = Path("/proc/device-tree/model")  # a Jetson's name; PCs have none


def describe_machine() -> str:
    """Board or processor, cores and memory in a few words."""
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores of {_name()}, {memory:.0f} GiB"


def _name() -> str:
    try:
        return _BOARD.read_text().rstrip("\0")
    except OSError:
        pass
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
