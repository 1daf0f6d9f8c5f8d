"""Several instances of one model side by side, each with its own thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flightsw.engines.dimc.instance_driver import CURE, InstanceDriver
from flightsw.errors import InferenceFailed

_ANSWER_SECONDS: Final = 60.0
"""Longest wait for a batch: an instance's own deadline of 30 s passes first, with its own error."""
_STOP_SECONDS: Final = 10.0
_IDLE_SECONDS: Final = 5.0
_TILES_AHEAD: Final = 6
"""Tiles that may wait at an instance, as latencies vary: with 1 the cores idle for 4 %, with 6 for
1 % (simulated with the reference's latencies)."""


@dataclass
class _Batch:
    """A batch's logits, and how many of its tiles have no answer yet."""

    logits: NDArray[np.int8]
    unanswered: int


@dataclass(frozen=True)
class _TileTask:
    """One tile of a batch, and the array for its answer."""

    batch: _Batch
    tiles: NDArray[np.int8]
    logits: NDArray[np.int8]


class InstancePool:
    """Deals tiles out to instances in turn and puts the answers together in the order pushed.

    Used by one thread at a time; has the methods of
    :class:`~flightsw.engines.dimc.instance_driver.InstanceDriver`.  A batch is due when enough
    tiles were pushed after it that each instance still has its next tile waiting while the batch
    is taken.  The first failure of an instance is raised by the call that waits, or else by the
    next call.
    """

    def __init__(self, drivers: Sequence[InstanceDriver], delay: int, subject: str) -> None:
        self._subject = subject
        self._window = len(drivers) * (delay + _TILES_AHEAD)
        self._batches: deque[_Batch] = deque()
        self._tiles_in_flight = 0
        self._answers = _Answers()
        self._workers = [
            _Worker(driver, number, self._answers) for number, driver in enumerate(drivers)
        ]
        self._turn = 0

    @property
    def busy(self) -> bool:
        """Whether a batch is in flight."""
        return bool(self._batches)

    def push(self, tiles: NDArray[np.int8], logits: NDArray[np.int8]) -> NDArray[np.int8] | None:
        """Deal ``tiles`` out; the ``logits`` of the batch that is due, filled in, if there is one.

        ``tiles`` must not change before their answer is out.
        """
        batch = _Batch(logits, len(tiles))
        self._batches.append(batch)
        self._tiles_in_flight += len(tiles)
        for number in range(len(tiles)):
            this = slice(number, number + 1)
            self._workers[self._turn].tasks.put(_TileTask(batch, tiles[this], logits[this]))
            self._turn = (self._turn + 1) % len(self._workers)
        behind = self._tiles_in_flight - len(self._batches[0].logits)
        return self._take() if behind >= self._window else None

    def push_out(self) -> NDArray[np.int8]:
        """The logits of the oldest batch in flight."""
        for worker in self._workers:
            worker.tasks.put(None)
        return self._take()

    def close(self) -> None:
        """End the threads; what is in flight is lost.  Waits for at most 10 s."""
        deadline = monotonic() + _STOP_SECONDS
        for worker in self._workers:
            worker.stop()
        for worker in self._workers:
            worker.join(deadline - monotonic())

    def _take(self) -> NDArray[np.int8]:
        batch = self._batches[0]
        if not self._answers.wait_for(batch, _ANSWER_SECONDS):
            raise InferenceFailed(
                self._subject, f"gave no answer within {_ANSWER_SECONDS:g} s", CURE
            )
        self._batches.popleft()
        self._tiles_in_flight -= len(batch.logits)
        return batch.logits


class _Answers:
    """What the instances' threads report to the thread that waits."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._failure: BaseException | None = None

    def count(self, batch: _Batch) -> None:
        """One more tile of ``batch`` has its answer."""
        with self._changed:
            batch.unanswered -= 1
            if not batch.unanswered:
                self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """An instance has ended with ``error``; the first one counts."""
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()

    def wait_for(self, batch: _Batch, seconds: float) -> bool:
        """Whether all answers of ``batch`` came in time; raises an instance's failure."""
        with self._changed:
            came = self._changed.wait_for(
                lambda: self._failure is not None or not batch.unanswered, seconds
            )
            if self._failure is not None:
                raise self._failure
            return came


class _Worker:
    """The thread of one instance.  A daemon, as a card that hangs never returns from it."""

    def __init__(self, driver: InstanceDriver, number: int, answers: _Answers) -> None:
        self._driver = driver
        self._answers = answers
        self._owed: deque[_Batch] = deque()
        self._stopping = False
        # None: push out what is in flight.  The caller waits for answers, so it stays short.
        self.tasks: SimpleQueue[_TileTask | None] = SimpleQueue()
        self._thread = threading.Thread(
            target=self._work, name=f"instance {number + 1}", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End after the frame that is under way."""
        self._stopping = True
        self.tasks.put(None)

    def join(self, seconds: float) -> None:
        """Wait for the end of the thread."""
        self._thread.join(max(0.0, seconds))

    def _work(self) -> None:
        try:
            while not self._stopping:
                try:
                    task = self.tasks.get(timeout=_IDLE_SECONDS)
                except Empty:
                    continue
                if task is not None:
                    self._owed.append(task.batch)
                    self._count(self._driver.push(task.tiles, task.logits))
                while task is None and self._driver.busy and not self._stopping:
                    self._count(self._driver.push_out())
        except BaseException as error:  # noqa: BLE001  (raised where the answers are waited for)
            self._answers.fail(error)

    def _count(self, logits: NDArray[np.int8] | None) -> None:
        if logits is not None:
            self._answers.count(self._owed.popleft())
