"""Memory: one error for its exhaustion, and returning what a scene needed."""

from __future__ import annotations

import ctypes
import errno
import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from flightsw.errors import MemoryExhausted

_CURE: Final = (
    "Raise the limit (MemoryMax of the unit, ulimit) or end other programs; 20 m, and products "
    "without fill and quicklook, need less"
)


@contextmanager
def memory_errors(subject: object) -> Iterator[None]:
    """Turn the errors of Python, numpy and the system for exhausted memory into one.

    Raises :class:`MemoryExhausted` about ``subject``.
    """
    try:
        yield
    except (MemoryError, OSError, RuntimeError) as error:
        if not _is_exhaustion(error):
            raise
        cause = f"ran out of memory ({str(error) or type(error).__name__})"
        raise MemoryExhausted(subject, cause, _CURE) from error


def return_memory() -> None:
    """Give what a scene needed back to the system; glibc keeps it otherwise.

    Errors refer to the frames, and so to the strips and descriptors, of a scene that failed.
    """
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library does as it likes
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _is_exhaustion(error: MemoryError | OSError | RuntimeError) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # A thread's stack is the first thing that finds no room, and has no specific error.
    return isinstance(error, MemoryError) or str(error) == "can't start new thread"
