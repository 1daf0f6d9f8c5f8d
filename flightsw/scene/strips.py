"""Strips of a scene, read ahead by threads."""

from __future__ import annotations

import math
import mmap
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from threading import Event
from time import monotonic
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from flightsw.errors import CorruptImage, Interrupted, UsageError
from flightsw.scene.reflectance import NO_DATA
from flightsw.scene.scene import SceneMetadata, Strip

_DECODES_AHEAD: Final = 2  # each of them all bands, over the whole width
_PANELS_AHEAD: Final = 3  # smaller; with two, the card waits 0.1 s a scene for the third
STRIPS_AT_ONCE: Final = 8  # strips of one decode; each is freed when it is used up
ROWS_WANTED: Final = 1024  # rows at full resolution: the height of a tile of a real 10 m band
COLUMNS_WANTED: Final = 2048  # columns of a panel
_READ_SECONDS: Final = 100.0
"""Longest wait for a decode, which takes a few seconds: a slow disk is reported before the
pipeline reports a stall (``pipeline.stall_seconds``, 120)."""
_LEAVE_SECONDS: Final = 60.0  # longest wait for decodes that cannot be interrupted

Memory = Callable[[tuple[int, int, int]], NDArray[np.uint16]]
"""Gives an array of this shape; in the order in which the strips are given."""

Check = Callable[[Event], None]
"""Checks a file in parallel with the decoding; stops when the event is set."""


class StripPart(Protocol):
    """Some neighbouring bands of each strip, read from one file."""

    @property
    def bands(self) -> slice:
        """Which bands of the strip these are."""
        ...

    def read(self, top: int, left: int, targets: Sequence[NDArray[np.uint16]]) -> None:
        """Fill arrays that lie one below the other, each uint16 ``(bands, rows, columns)``.

        The first begins at row ``top``, all begin at column ``left``.  Called by several threads.
        """
        ...


def fresh_memory(shape: tuple[int, int, int]) -> NDArray[np.uint16]:
    """Memory that is returned to the system as soon as it is dropped.

    The C library would keep blocks of this size for reuse, which other threads may not see.
    Shared memory, the default of ``mmap``, takes 1.6 times as long.
    """
    size = math.prod(shape) * np.dtype(np.uint16).itemsize
    block = mmap.mmap(-1, size, mmap.MAP_PRIVATE)
    return np.frombuffer(block, np.uint16).reshape(shape)


@dataclass(frozen=True)
class StripPlace:
    """Where a strip lies in what the scene's strips show; see :class:`Strip`."""

    top: int
    left: int
    shape: tuple[int, int, int]
    decodes_after: int


@dataclass(frozen=True)
class StripScene:
    """A :class:`~flightsw.scene.scene.Scene` made of parts.

    One decode reads ``rows`` rows of ``columns`` columns, fewer at an edge of what is shown;
    ``columns`` is the width of a panel.
    ``held`` is what must live as long as the scene: a temporary folder.  ``fill`` is the digital
    number that is no data in a pixel whose bands all have it.  ``memory`` is where strips lie.
    """

    metadata: SceneMetadata
    parts: tuple[StripPart, ...]
    rows: int
    columns: int
    checks: tuple[Check, ...] = ()
    held: object = None
    fill: int | None = None
    memory: Memory = fresh_memory

    @property
    def decodes_ahead(self) -> int:
        """How many decodes are begun before they are needed."""
        _, columns = self.metadata.shown
        return _DECODES_AHEAD if self.columns >= len(columns) else _PANELS_AHEAD

    def strips(self, workers: int) -> AbstractContextManager[Iterator[Strip]]:
        """Decode with ``workers`` threads from now on; leaving the context stops them.

        A decode gives several strips.  The first ``decodes_ahead`` decodes begin immediately,
        each of the others when the last strip of an earlier decode is taken.
        One more thread runs the checks; the iterator does not end before all have passed.
        Leaving waits for the decodes that are running, each of one band.
        """
        if workers < 1:
            raise UsageError("workers", f"must be at least 1, got {workers}")
        return _reading(self, workers)


def rows_per_decode(heights: Sequence[int], step: int) -> int:
    """Rows of a decode at full resolution, for images stored in tiles of these heights.

    The largest multiple of tile heights and step up to 1,024, so that no tile is
    decoded twice; 1,024 if there is no such multiple.
    """
    unit = math.lcm(step, *heights)
    return ROWS_WANTED if unit > ROWS_WANTED else ROWS_WANTED // unit * unit


def aligned(wanted: range, step: int) -> list[range]:
    """The range in pieces that end at multiples of ``step``, so that no stored tile is in two."""
    inside = range((wanted.start // step + 1) * step, wanted.stop, step)
    edges = [wanted.start, *inside, wanted.stop]
    return [range(start, stop) for start, stop in pairwise(edges)]


def decodes_of(
    known: SceneMetadata, rows: int, columns: int
) -> list[tuple[range, range, list[StripPlace]]]:
    """Rows and columns of the files that each decode reads, and the strips that it gives.

    ``rows`` and ``columns`` are those of a :class:`StripScene`.
    """
    shown_rows, shown_columns = known.shown
    blocks = [
        (down, across)
        for down in aligned(shown_rows, rows)
        for across in aligned(shown_columns, columns)
    ]
    return [
        (down, across, _places(known, down, across, decodes_after=len(blocks) - number))
        for number, (down, across) in enumerate(blocks, 1)
    ]


def panel_columns(widths: Sequence[int], step: int, width: int) -> int:
    """Columns of a panel, of the scene's ``width``, for images stored in tiles of these widths.

    The largest multiple of the tiles' widths, at every ``step``-th column, up to 2,048, so
    that no tile is decoded twice; the scene's width if there is no such multiple.
    """
    unit = math.lcm(step, *widths) // step
    return width if unit > COLUMNS_WANTED else min(width, COLUMNS_WANTED // unit * unit)


def _places(
    known: SceneMetadata, rows: range, columns: range, decodes_after: int
) -> list[StripPlace]:
    """Strips for the decode of these rows and columns of the files, one below the other."""
    shown_rows, shown_columns = known.shown
    height = -(-len(rows) // STRIPS_AT_ONCE)
    parts = [rows[start : start + height] for start in range(0, len(rows), height)]
    return [
        StripPlace(
            part.start - shown_rows.start,
            columns.start - shown_columns.start,
            (len(known.bands), len(part), len(columns)),
            decodes_after,
        )
        for part in parts
    ]


@contextmanager
def _reading(scene: StripScene, workers: int) -> Iterator[Iterator[Strip]]:
    stop = Event()
    decoders = ThreadPoolExecutor(workers, "decode")
    checkers = ThreadPoolExecutor(1, "check")
    begun: deque[Future[None]] = deque(maxlen=len(scene.parts) * (scene.decodes_ahead + 1))
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
                pool.shutdown(wait=True)  # the threads have nothing left to do but end


def _in_order(
    scene: StripScene,
    decoders: ThreadPoolExecutor,
    begun: deque[Future[None]],
    verdicts: Sequence[Future[None]],
    stop: Event,
) -> Iterator[Strip]:
    """Begin the first decodes, yield an empty strip, then the strips; begin more meanwhile."""

    def begin() -> tuple[deque[Strip], list[Future[None]]]:
        if stop.is_set():
            raise Interrupted(name, "was abandoned before its last strip was read")
        rows, columns, places = decodes.popleft()
        strips = deque(
            Strip(one.top, scene.memory(one.shape), one.decodes_after, one.left) for one in places
        )
        futures = [
            decoders.submit(
                part.read,
                rows.start,
                columns.start,
                [strip.digital_numbers[part.bands] for strip in strips],
            )
            for part in scene.parts
        ]
        begun.extend(futures)
        return strips, futures

    known, name = scene.metadata, scene.metadata.name
    _, shown_columns = known.shown
    decodes = deque(decodes_of(known, scene.rows, scene.columns))
    ahead = deque(begin() for _ in range(min(scene.decodes_ahead, len(decodes))))
    yield Strip(0, np.empty((len(known.bands), 0, len(shown_columns)), np.uint16))
    while ahead:
        strips, futures = ahead.popleft()
        until = monotonic() + _READ_SECONDS
        for future in futures:
            _await(future, name, until)
        for verdict in verdicts:
            if verdict.done():
                _await(verdict, name, until)
        if scene.fill is not None:
            _mark_no_data(strips, scene.fill)
        while len(strips) > 1:
            yield strips.popleft()
        # Not sooner: if the card sets the pace, one more decode would wait in memory.
        if decodes:
            ahead.append(begin())
        yield strips.popleft()
    until = monotonic() + _READ_SECONDS
    for verdict in verdicts:
        _await(verdict, name, until)


def _mark_no_data(strips: Iterable[Strip], fill: int) -> None:
    for strip in strips:
        strip.digital_numbers[:, (strip.digital_numbers == fill).all(axis=0)] = NO_DATA


def _await(future: Future[None], name: str, until: float) -> None:
    try:
        future.result(max(0.0, until - monotonic()))
    except CancelledError:
        raise Interrupted(name, "was abandoned before its last strip was read") from None
    except FutureTimeoutError:
        cause = f"gave no further rows within {_READ_SECONDS:.0f} s"
        raise CorruptImage(name, cause, "Check the disk, then the files") from None
