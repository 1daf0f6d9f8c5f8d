"""Wall time, CPU time and peak memory of a piece of work, in a Linux process of its own."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

from flightsw.bench.results import Usage

Outcome = TypeVar("Outcome")


def measure_usage(work: Callable[[], Outcome]) -> tuple[Usage, Outcome]:
    """Do the work once; one at a time in a process, since memory is the whole process's."""
    idle = psutil.Process().memory_info().rss
    Path("/proc/self/clear_refs").write_text("5")  # restarts the peak of resident memory
    cpu_before = _cpu_seconds()
    started = time.perf_counter()
    outcome = work()
    seconds = time.perf_counter() - started
    return Usage(seconds, _cpu_seconds() - cpu_before, idle, peak_bytes()), outcome


def peak_bytes() -> int:
    """Peak of resident memory since it was last restarted."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not tell the peak of resident memory")


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
