"""Frames in flight on one model instance: submitted in order, taken in order, paced by the twin."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from flightsw.dimc.simulator.twin import CardHistory, CardTimeline, LatencyDraw

_SPIN_NS: Final = 80_000  # about how late a sleep returns on Linux


class FrameArithmetic(Protocol):
    """One frame's arithmetic: int8 NHWC in and out, views without padding."""

    def start(self, tiles: NDArray[np.int8]) -> None:
        """Begin to compute; ``tiles`` may change when it returns."""

    def wait(self, seconds: float) -> int:
        """Wait for the answer; monotonic ns of its completion, 0 if it took no time.

        Raises TimeoutError after ``seconds``, RuntimeError if the computing failed.
        """
        ...

    def write(self, logits: NDArray[np.int8]) -> None:
        """Write the answer into ``logits``."""


@dataclass(frozen=True)
class _Frame:
    arithmetic: FrameArithmetic
    submitted_ns: int
    latency_ns: int


class FrameQueue:
    """At most ``len(slots)`` frames in flight; the oldest is taken before one more is submitted.

    A frame is ready when its arithmetic is done and the timeline says so; until
    then ``take`` sleeps.  Without ``latencies`` only the arithmetic counts.
    With one slot the wake-up is punctual, for less than 0.1 ms of spinning; with more
    a late one is hidden behind the next frame.
    """

    def __init__(
        self,
        slots: Sequence[FrameArithmetic],
        history: CardHistory,
        timeline: CardTimeline,
        latencies: LatencyDraw | None = None,
    ) -> None:
        self._idle = deque(slots)
        self._in_flight: deque[_Frame] = deque()
        self.history = history
        self._timeline = timeline
        self._latencies = latencies
        self._punctual = len(slots) == 1

    @property
    def full(self) -> bool:
        """Whether the oldest frame must be taken now."""
        return not self._idle

    def submit(self, tiles: NDArray[np.int8], submitted_ns: int) -> None:
        """Start a frame on ``tiles`` (unpadded view), which may change when it returns."""
        arithmetic = self._idle[0]
        arithmetic.start(tiles)
        self._idle.popleft()
        latency_ns = self._latencies.next_ns() if self._latencies else 0
        self._in_flight.append(_Frame(arithmetic, submitted_ns, latency_ns))

    def take(self, logits: NDArray[np.int8], seconds: float) -> None:
        """Wait for the oldest frame and write its answer into ``logits`` (unpadded view).

        A frame that fails is lost.  Raises :class:`TimeoutError` after
        ``seconds``, and :class:`RuntimeError` if the arithmetic failed.
        """
        frame = self._in_flight.popleft()
        self._idle.append(frame.arithmetic)
        deadline_ns = time.monotonic_ns() + round(seconds * 1e9)
        computed_ns = frame.arithmetic.wait(seconds)
        times = self._timeline.place(frame.submitted_ns, frame.latency_ns, computed_ns)
        if times.ready_ns > deadline_ns:
            raise TimeoutError(f"no answer within {seconds:g} s")
        self.history.record(times)
        frame.arithmetic.write(logits)  # before the frame's time is over: a card writes it itself
        _sleep_until(times.ready_ns, _SPIN_NS if self._punctual else 0)

    def abandon(self, seconds: float) -> None:
        """Wait until no frame computes any more; their answers are lost."""
        while self._in_flight:
            with suppress(TimeoutError, RuntimeError):
                self._in_flight.popleft().arithmetic.wait(seconds)


def _sleep_until(instant_ns: int, spin_ns: int) -> None:
    while (remaining_ns := instant_ns - time.monotonic_ns()) > 0:
        time.sleep(max(0, remaining_ns - spin_ns) / 1e9)
