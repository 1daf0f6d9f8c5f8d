"""Real-time priority for a thread that must not be late, if the machine allows it.

Linux lets root do so, and others up to ``RLIMIT_RTPRIO`` (``LimitRTPRIO=`` of a systemd unit).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def real_time(priority: int) -> Iterator[bool]:
    """The calling thread runs before all ordinary threads; whether that was allowed.

    ``priority`` is 1 to 99 of ``SCHED_RR``, 0 for an ordinary thread.  Only for a thread that
    mostly waits: others would starve beside one that computes.  Threads and processes that it
    starts are ordinary ones.
    """
    if not (priority and _raised_to(priority)):
        yield False
        return
    try:
        yield True
    finally:
        # Only root may clear the flag.
        os.sched_setscheduler(0, os.SCHED_OTHER | os.SCHED_RESET_ON_FORK, os.sched_param(0))


def allows_real_time(priority: int) -> bool:
    """Whether threads of this process may have that priority; True for 0."""
    with real_time(priority) as allowed:
        return allowed or not priority


def _raised_to(priority: int) -> bool:
    if not hasattr(os, "sched_setscheduler"):  # not Linux
        return False
    try:
        # 0 is the calling thread, not its process.
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except PermissionError:
        return False
    return True
