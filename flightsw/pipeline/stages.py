"""Threads that each turn one iterator into another; the first failure ends them all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, TypeVar

from typing_extensions import Self

from flightsw.errors import FlightError, InferenceFailed
from flightsw.host.real_time import real_time
from flightsw.pipeline.channel import Channel, ChannelAborted, ChannelFinished, ChannelStalled

Item = TypeVar("Item")

_JOIN_SECONDS: Final = 30.0  # a strip's decoding cannot be cut short; nothing else takes long


class StopSignal:
    """Asks a running scene to stop, from any thread, without waiting for its next rows.

    The scene then fails with the reason of the first request.
    """

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._reason: FlightError | None = None
        self._report: Callable[[FlightError], None] | None = None

    @property
    def reason(self) -> FlightError | None:
        """Why the scene must stop; None while it may continue."""
        return self._reason

    def request(self, reason: FlightError) -> None:
        """Ask; may be called before the scene starts."""
        with self._asking:
            if self._reason is not None:
                return
            self._reason, report = reason, self._report
        if report:
            report(reason)

    def listen(self, report: Callable[[FlightError], None]) -> None:
        """Have ``report`` called with the reason, immediately if one was given already."""
        with self._asking:
            self._report, reason = report, self._reason
        if reason:
            report(reason)


class Stages:
    """A chain of threads.  The first failure stops all; the context then raises it unchanged.

    ``stall_seconds`` bounds every wait between the threads; ``stop`` lets others end it early.
    """

    def __init__(self, stall_seconds: float, stop: StopSignal | None = None) -> None:
        self._stall_seconds = stall_seconds
        self._channels: list[Channel[Any]] = []
        self._threads: list[threading.Thread] = []
        self._failure: BaseException | None = None
        self._failing = threading.Lock()
        self._resting, self._rests = False, 0  # of the caller; of any thread
        self._aborted = False
        if stop:
            stop.listen(self._fail)

    def run(
        self, name: str, work: Iterable[Item], depth: int, gather: int = 1, priority: int = 0
    ) -> Iterator[Item]:
        """Iterate over ``work`` in its own thread, ``depth`` items ahead, and two at least.

        The caller wakes for ``gather`` items at a time.  ``priority`` is the thread's real-time
        priority, if the machine allows it; 0 for none.
        """
        channel: Channel[Item] = Channel(
            max(1, depth // 2), gather
        )  # the reader holds the same number again
        thread = threading.Thread(
            target=self._carry,
            args=(name, work, channel, priority),
            name=f"flightsw-{name}",
            daemon=True,
        )
        self._channels.append(channel)
        if self._failure is not None:  # it came before this channel existed
            channel.abort()
        thread.start()
        self._threads.append(thread)  # only if it started: another cannot be joined
        return self._items_of(channel, name)

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Meanwhile the caller takes nothing on purpose: waiting stages do not count as a stall."""
        self._resting = True
        try:
            yield
        finally:
            self._rests += 1
            self._resting = False

    def rested(self) -> None:
        """A stage does nothing on purpose, and calls this often: what waits for it is not stalled.

        Raises :class:`ChannelAborted` once the others have ended.
        """
        self._rests += 1
        if self._aborted:
            raise ChannelAborted

    @property
    def ended(self) -> bool:
        """Whether all threads have ended."""
        return not any(thread.is_alive() for thread in self._threads)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._abort()
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)
        if self._failure is not None and (error is None or isinstance(error, ChannelAborted)):
            raise self._failure

    def _carry(
        self, name: str, work: Iterable[Item], channel: Channel[Item], priority: int
    ) -> None:
        try:
            with real_time(priority):
                for item in work:
                    self._put(channel, item)
            channel.finish()
        except ChannelAborted:
            # Another stage's failure is raised; it may be older than this stage's channel.
            self._abort()
        except ChannelStalled:
            self._fail(self._stalled(f"the stage after the {name} took nothing"))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self._fail(error)

    def _put(self, channel: Channel[Item], item: Item) -> None:
        """Wait for room as long as the caller rests, and for the deadline after that."""
        while True:
            rests = self._rests
            try:
                return channel.put(item, self._stall_seconds)
            except ChannelStalled:
                if not self._resting and rests == self._rests:
                    raise

    def _items_of(self, channel: Channel[Item], name: str) -> Iterator[Item]:
        while True:
            rests = self._rests
            try:
                yield from channel.get_all(self._stall_seconds)
            except ChannelFinished:
                return
            except ChannelStalled:
                if rests == self._rests:
                    raise self._stalled(f"the {name} gave nothing") from None

    def _stalled(self, cause: str) -> InferenceFailed:
        return InferenceFailed(
            "the pipeline",
            f"stalled: nothing moved for {self._stall_seconds:g} s, {cause}",
            "Refresh the card and run the self-test",
        )

    def _fail(self, error: BaseException) -> None:
        with self._failing:
            if self._failure is None:
                self._failure = error
        self._abort()

    def _abort(self) -> None:
        self._aborted = True
        for channel in self._channels:
            channel.abort()
