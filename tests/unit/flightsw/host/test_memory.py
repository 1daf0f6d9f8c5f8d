from __future__ import annotations

import errno
import os
import weakref

import pytest

from flightsw.errors import MemoryExhausted
from flightsw.host.memory import memory_errors, return_memory

_ENDS = [
    MemoryError(),
    MemoryError("Unable to allocate 2.49 MiB"),
    OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    RuntimeError("can't start new thread"),
]


@pytest.mark.parametrize("error", _ENDS, ids=repr)
def test_memory_missing_in_any_thread_is_one_error_with_the_words_of_the_first(
    error: Exception,
) -> None:
    with pytest.raises(MemoryExhausted, match="the scene") as caught, memory_errors("the scene"):
        raise error
    assert caught.value.__cause__ is error
    assert (str(error) or "MemoryError") in caught.value.cause
    assert caught.value.cure


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), RuntimeError("broken"), KeyError(1)], ids=repr
)
def test_other_errors_pass_as_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, memory_errors("the scene"):
        raise error
    assert caught.value is error


class _FailedScene:
    """An error keeps it alive, as a traceback keeps the frames of a scene."""

    def __init__(self) -> None:
        self.error = RuntimeError(self)


def test_what_a_failed_scene_held_is_returned() -> None:
    scene = weakref.ref(_FailedScene())
    return_memory()
    assert scene() is None
