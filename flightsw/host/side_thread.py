"""A thread for work that may hang, such as reading from a disk that no longer answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Final, Generic, TypeVar

Result = TypeVar("Result")

Listen = Callable[[Callable[[BaseException], None]], None]
"""Has the given function called with the reason as soon as the work is no longer wanted."""

_MOST: Final = 8  # of the process, with those that hang
_free: Final = threading.BoundedSemaphore(_MOST)


class NoOutcome(Exception):  # noqa: N818 - a state, not a failure
    """Why the work has no outcome, as a clause; caught by the caller, who knows the subject."""


class SideThread(Generic[Result]):
    """Begins ``work`` in its own thread, which can be abandoned: the process ends without it.

    Raises :class:`NoOutcome` if too many earlier threads hang.
    """

    def __init__(self, name: str, work: Callable[[], Result]) -> None:
        if not _free.acquire(blocking=False):
            raise NoOutcome(f"cannot begin: {_MOST} earlier reads have not finished")
        self._outcome: Future[Result] = Future()
        self._thread = threading.Thread(target=self._run, args=(work,), name=name, daemon=True)
        try:
            self._thread.start()
        except BaseException:
            _free.release()
            raise

    def outcome(self, seconds: float, listen: Listen = lambda _: None) -> Result:
        """What the work gives or raises, within ``seconds``, unless ``listen`` reports first.

        Raises the reported reason, or :class:`NoOutcome` after that time.
        """
        stopped: Future[Result] = Future()
        listen(stopped.set_exception)
        wait((self._outcome, stopped), seconds, FIRST_COMPLETED)
        if self._outcome.done():
            self._thread.join()  # it has nothing left to do
            return self._outcome.result()
        if stopped.done():
            return stopped.result()
        raise NoOutcome(f"did not end within {seconds:g} s")

    def abandon(self, late: Callable[[Result], None]) -> None:
        """Hand a result that nobody waits for any more to ``late``, in the thread."""
        self._outcome.add_done_callback(
            lambda outcome: None if outcome.exception() else late(outcome.result())
        )

    def _run(self, work: Callable[[], Result]) -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - raised again by outcome()
            _free.release()
            self._outcome.set_exception(error)
        else:
            _free.release()
            self._outcome.set_result(result)
