"""Strips of a scene, read ahead by threads."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import islice
from threading import Event
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from flightsw.errors import CorruptImage, Interrupted, UsageError
from flightsw.scene.scene import SceneMetadata, Strip

_STRIPS_AHEAD: Final = 2
_ROWS_WANTED: Final = 1024  # rows at full resolution: those of a tile of a real 10 m band
_READ_SECONDS: Final = 600.0  # longest wait for a strip; a full one takes a few seconds
_LEAVE_SECONDS: Final = 60.0  # longest wait for decodes that cannot be interrupted

Check = Callable[[Event], None]
"""Looks at a file beside the decoding; gives up when the event is set."""


class StripPart(Protocol):
    """Some neighbouring bands of each strip, out of one file."""

    @property
    def bands(self) -> slice:
        """Which bands of the strip these are."""
        ...

    def read(self, top: int, target: NDArray[np.uint16]) -> None:
        """Fill uint16 ``(bands, rows, width)`` from row ``top``; called by several threads."""
        ...


@dataclass(frozen=True)
class StripScene:
    """A :class:`~flightsw.scene.scene.Scene` made of parts, ``rows`` rows a strip."""

    metadata: SceneMetadata
    parts: tuple[StripPart, ...]
    rows: int
    checks: tuple[Check, ...] = ()

    def strips(self, workers: int) -> AbstractContextManager[Iterator[Strip]]:
        """Decode with so many threads from now on; leaving the context stops them.

        The first two strips are begun at once, the others as they are asked for.  One more
        thread runs the checks; the iterator does not end before they have ended well.  Leaving
        waits for the decodes that are under way, each of one band of one strip.
        """
        if workers < 1:
            raise UsageError("workers", f"{workers} threads cannot decode", "Give at least 1")
        return _reading(self, workers)


def strip_rows(heights: Sequence[int], step: int) -> int:
    """Rows of a strip at full resolution, for images stored in tiles of these heights.

    The largest multiple of tile heights and step that is not above 1,024, so
    that no tile is decoded twice; 1,024 where there is none.
    """
    unit = math.lcm(step, *heights)
    return _ROWS_WANTED if unit > _ROWS_WANTED else _ROWS_WANTED // unit * unit


@contextmanager
def _reading(scene: StripScene, workers: int) -> Iterator[Iterator[Strip]]:
    stop = Event()
    decoders = ThreadPoolExecutor(workers, "decode")
    checkers = ThreadPoolExecutor(1, "check")
    begun: deque[Future[None]] = deque(maxlen=len(scene.parts) * (_STRIPS_AHEAD + 1))
    verdicts = [checkers.submit(check, stop) for check in scene.checks]
    strips = _in_order(scene, decoders, begun, verdicts, stop)
    try:
        next(strips)
        yield strips
    finally:
        stop.set()
        for pool in (decoders, checkers):
            pool.shutdown(wait=False, cancel_futures=True)
        running = [future for future in (*begun, *verdicts) if not future.cancelled()]
        if not wait(running, timeout=_LEAVE_SECONDS).not_done:
            for pool in (decoders, checkers):
                pool.shutdown(wait=True)  # nothing is left to do: only the threads' own end


def _in_order(
    scene: StripScene,
    decoders: ThreadPoolExecutor,
    begun: deque[Future[None]],
    verdicts: Sequence[Future[None]],
    stop: Event,
) -> Iterator[Strip]:
    """Begin the first strips, give out an empty one, then the strips; more begin when asked for."""

    def begin(top: int) -> tuple[Strip, list[Future[None]]]:
        if stop.is_set():
            raise Interrupted(name, "the strips were left before the last one was read")
        shape = (len(known.bands), min(scene.rows, known.height - top), known.width)
        numbers = np.empty(shape, np.uint16)
        futures = [decoders.submit(part.read, top, numbers[part.bands]) for part in scene.parts]
        begun.extend(futures)
        return Strip(top, numbers), futures

    known, name = scene.metadata, scene.metadata.name
    tops = iter(range(0, known.height, scene.rows))
    ahead = deque(begin(top) for top in islice(tops, _STRIPS_AHEAD))
    yield Strip(0, np.empty((len(known.bands), 0, known.width), np.uint16))
    while ahead:
        strip, futures = ahead.popleft()
        for future in futures:
            _await(future, name)
        for verdict in verdicts:
            if verdict.done():
                _await(verdict, name)
        ahead.extend(begin(top) for top in islice(tops, 1))
        yield strip
    for verdict in verdicts:
        _await(verdict, name)


def _await(future: Future[None], name: str) -> None:
    try:
        future.result(_READ_SECONDS)
    except CancelledError:
        raise Interrupted(name, "the strips were left before the last one was read") from None
    except FutureTimeoutError:
        cause = f"a strip was not read within {_READ_SECONDS:.0f} s"
        raise CorruptImage(name, cause, "Check the disk, then the files") from None
