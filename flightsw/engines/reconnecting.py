"""An engine that is reopened if it fails, and whose outstanding batches are resubmitted."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from flightsw.engines.engine import CardReadings, Engine, EngineInfo, Logits, Tiles
from flightsw.errors import EngineError, InferenceFailed

_CLOSE_SECONDS: Final = 45.0  # the simulator gives up a frame after 30 s


class ReconnectingEngine(Engine):
    """An engine over those that ``reopen`` gives.

    After a failed call the engine's state is unknown: it is closed, reopened, and every
    outstanding batch goes through the reopened one, in order.  A batch is retried
    once: a second failure before the next answer is raised.  The pipeline's arrays are kept
    until their answer has come.

    Once closed it answers nothing more, so that a thread that returns late from a card that hung
    does not get another scene's tiles.
    """

    def __init__(
        self,
        engine: Engine,
        reopen: Callable[[], Engine],
        recovered: Callable[[InferenceFailed], None],
    ) -> None:
        self._engine = engine
        self._reopen = reopen
        self._recovered = recovered
        self._owed: deque[Tiles] = deque()
        self._answers: deque[Logits] = deque()
        self._retried = False
        self._closed = False
        self._handing_over = threading.Lock()
        self._earlier = CardReadings(0, 0, 0.0, None, None)

    @property
    def info(self) -> EngineInfo:
        """What the pipeline must know."""
        return self._engine.info

    def infer(self, tiles: Tiles) -> Logits:
        """Run one batch and wait for its own answer; nothing may be in flight."""
        logits = self.push(tiles)
        return next(self.flush()) if logits is None else logits

    def push(self, tiles: Tiles) -> Logits | None:
        """Run one batch; the logits of the batch that is due, if there is one."""
        self._require_open()
        self._owed.append(tiles)
        with self._reopening_on_failure():
            self._collect(self._engine.push(tiles))
        return self._answers.popleft() if self._answers else None

    def flush(self) -> Iterator[Logits]:
        """Logits of the batches that are still in flight, in order."""
        while self._owed or self._answers:
            if self._answers:
                yield self._answers.popleft()
                continue
            with self._reopening_on_failure():
                self._collect(*self._engine.flush())
                if self._owed:
                    cause = f"never answered {len(self._owed)} batches"
                    raise InferenceFailed(self.info.device, cause, "Run the self-test")

    def readings(self) -> CardReadings | None:
        """What the card measured, summed over all reopened engines."""
        now = self._engine.readings()
        return now and _sum(self._earlier, now)

    @property
    def closed(self) -> bool:
        """Whether it answers nothing more."""
        return self._closed

    def close(self) -> None:
        """Give the card back; may be called again.

        A card that hangs may never return: it is abandoned after 45 s.
        """
        with self._handing_over:
            self._closed = True
        self._owed.clear()
        self._answers.clear()
        self._give_back()

    @contextmanager
    def _reopening_on_failure(self) -> Iterator[None]:
        """Resubmit to the reopened engine after a failure; if that fails too, close."""
        try:
            try:
                yield
            except InferenceFailed as failure:
                self._resubmit(failure)
        except BaseException:
            self.close()
            raise

    def _resubmit(self, failure: InferenceFailed) -> None:
        if self._retried or self._closed:
            raise failure
        self._retried = True
        if readings := self._engine.readings():
            self._earlier = _sum(self._earlier, readings)
        self._give_back()
        try:
            engine = self._reopen()
        except EngineError as gone:
            raise gone from failure
        with self._handing_over:
            if not self._closed:
                self._engine = engine
        if self._closed:  # closed while the engine was reopened
            _close_quietly(engine)
            raise failure
        for tiles in tuple(self._owed):
            self._collect(self._engine.push(tiles))
        self._recovered(failure)

    def _give_back(self) -> None:
        closing = threading.Thread(
            target=_close_quietly, args=(self._engine,), name="flightsw-closing", daemon=True
        )
        closing.start()
        closing.join(_CLOSE_SECONDS)

    def _require_open(self) -> None:
        if self._closed:
            raise InferenceFailed(self.info.device, "is closed", "Open the engine again")

    def _collect(self, *answers: Logits | None) -> None:
        self._require_open()  # it may have been closed while this thread waited
        for logits in answers:
            if logits is not None:
                self._owed.popleft()
                self._answers.append(logits)
                self._retried = False


def _close_quietly(engine: Engine) -> None:
    with suppress(EngineError):  # it is abandoned anyway
        engine.close()


def _sum(earlier: CardReadings, now: CardReadings) -> CardReadings:
    energy, busy_ns, span_ns = now.energy_joules, now.busy_ns, now.span_ns
    return CardReadings(
        busy_ns=None if busy_ns is None else busy_ns + (earlier.busy_ns or 0),
        span_ns=None if span_ns is None else span_ns + (earlier.span_ns or 0),
        energy_joules=None if energy is None else energy + (earlier.energy_joules or 0.0),
        power_watts=now.power_watts,
        temperature_celsius=now.temperature_celsius,
        pauses_ns=now.pauses_ns,
    )
