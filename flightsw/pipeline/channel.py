"""A bounded queue between two threads that either end can close immediately."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class ChannelFinished(Exception):  # noqa: N818 - a state, not a failure
    """Every item has been taken and no more will come."""


class ChannelAborted(Exception):  # noqa: N818 - the stage that aborted keeps the cause
    """Another stage gave up; the waiting items were dropped."""


class ChannelStalled(Exception):  # noqa: N818 - becomes an error once the cause is known
    """The other side did nothing before the deadline."""


class Channel(Generic[Item]):
    """At most ``depth`` items wait; putting into a full channel waits for room.

    A reader is woken for ``gather`` items at least, or when no more will come: a change of
    threads costs as much as fusing a tile.

    ``finish`` lets the items that wait be taken first; ``abort`` drops them and
    wakes all waiting threads.  :class:`queue.Queue` can do neither before Python 3.13.
    """

    def __init__(self, depth: int, gather: int = 1) -> None:
        self._items: deque[Item] = deque()
        self._depth = depth
        self._gather = min(gather, depth)
        self._finished = False
        self._aborted = False
        self._changed = threading.Condition()

    def put(self, item: Item, deadline: float) -> None:
        """Wait for room for at most ``deadline`` seconds.

        Raises :class:`ChannelAborted` or :class:`ChannelStalled`.
        """
        with self._changed:
            self._wait(lambda: len(self._items) < self._depth, deadline)
            self._items.append(item)
            if len(self._items) >= self._gather:
                self._changed.notify_all()

    def get_all(self, deadline: float) -> list[Item]:
        """All that wait, once they are ``gather``: one change of threads for several items.

        Waits for at most ``deadline`` seconds; then they may be fewer, but one at least.  Raises
        :class:`ChannelFinished`, :class:`ChannelAborted` or :class:`ChannelStalled`.
        """
        with self._changed:
            try:
                self._wait(lambda: self._finished or len(self._items) >= self._gather, deadline)
            except ChannelStalled:
                if not self._items:
                    raise
            if not self._items:
                raise ChannelFinished
            items = [*self._items]
            self._items.clear()
            self._changed.notify_all()
            return items

    def finish(self) -> None:
        """No more items will come; those that wait may still be taken."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Drop what waits and let every put and get end now."""
        with self._changed:
            self._aborted = True
            self._items.clear()
            self._changed.notify_all()

    def _wait(self, ready: Callable[[], bool], deadline: float) -> None:
        if not self._changed.wait_for(lambda: self._aborted or ready(), timeout=deadline):
            raise ChannelStalled
        if self._aborted:
            raise ChannelAborted
