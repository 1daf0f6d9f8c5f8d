"""The machine that figures were measured on."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
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
    return processor_name(lines) or platform.machine()


def processor_name(lines: Iterable[str]) -> str:
    """Its name with family and model, from ``/proc/cpuinfo``; empty if it has none.

    A virtual machine's processor may be called just "AMD EPYC", whatever its generation.
    """
    fields = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)
    }
    name = fields.get("model name", "")
    if name and {"cpu family", "model"} <= fields.keys():
        name += f" (family {fields['cpu family']}, model {fields['model']})"
    return name
