"""The consumer: drives the engine and assigns its late answers to their tiles."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from time import perf_counter_ns
from typing import Final, Protocol

from flightsw.engines.engine import Engine, Logits, Tiles
from flightsw.errors import AnswerWrong, InferenceFailed
from flightsw.pipeline.answer_check import TWICE, AnswerCheck, Place
from flightsw.pipeline.latency import LatencyRecord
from flightsw.pipeline.work import (
    Answered,
    AnsweredBatch,
    GridRowDone,
    PipelineItem,
    TileBatch,
    TileSample,
)

_CURE: Final = "Run the self-test; the mask was not written"
_NO_CURE: Final = "Run the self-test if it happens often; the mask is right"
_CONFIRMING: Final = 2  # equal answers, if the first one was right
_MOST_ANSWERS: Final = 4  # of one tile: two that agree after two wrong ones


class Probe(Protocol):
    """Tiles whose answers are known, sent among the scene's."""

    @property
    def batches_at_end(self) -> int:
        """How many batches to send after the scene's last tile."""
        ...

    def tiles(self) -> Tiles:
        """The next batch to send."""
        ...

    def judge(self, logits: Logits) -> None:
        """Raise :class:`~flightsw.errors.AnswerWrong` if the answer of the oldest is wrong."""
        ...


@dataclass(frozen=True)
class _Probed:
    """Marks a batch of the probe in the queue of outstanding batches."""


@dataclass(frozen=True)
class _Doubted:
    """A tile ``(1, tile, tile, bands)`` to be computed again, and its answers so far."""

    place: Place
    tiles: Tiles
    doubt: str
    logits: Logits
    samples: tuple[TileSample, ...] = ()
    answers: int = 1


CorrectionCallback = Callable[[AnswerWrong], None]
"""Called with what was wrong when a tile's wrong answer was found and replaced."""


class EngineConsumer:
    """Pushes batches into the engine; answers come out in order, row ends among them.

    A double-buffering engine answers some pushes later.  Outstanding items wait in
    a queue as deep as the engine has batches in flight.  ``probe`` is sent after every
    ``probe_every`` tiles and, with all that it wants, after the last one; 0 leaves it out.

    ``pace`` is called before each batch, and may wait.

    A tile whose answer ``check`` doubts is computed again, with a batch of the probe behind it,
    until two answers in a row agree: at most three times, then the engine has failed.
    """

    def __init__(
        self,
        engine: Engine,
        latencies: LatencyRecord,
        probe: Probe | None = None,
        probe_every: int = 0,
        check: AnswerCheck | None = None,
        corrected: CorrectionCallback = lambda _: None,
        pace: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._pace = pace
        self._latencies = latencies
        self._probe = probe if probe_every else None
        self._probe_every = probe_every
        self._since_probe = 0
        self._check = check
        self._corrected = corrected
        self._owed: deque[PipelineItem | _Probed | _Doubted] = deque()
        self._again: deque[_Doubted] = deque()  # not yet sent again
        self._in_doubt: set[Place] = set()
        self._ends: deque[GridRowDone] = deque()  # reached, while a tile of theirs is in doubt
        self.first_push_ns: int | None = None
        self.last_answer_ns: int | None = None

    def answer(self, prepared: Iterable[PipelineItem]) -> Iterator[Answered]:
        """Yield every batch with its logits, and every row end after its row's tiles."""
        for item in prepared:
            self._owed.append(item)
            if isinstance(item, TileBatch):
                yield from self._settle(self._push(item))
                if self._since_probe >= self._probe_every:
                    yield from self._settle(self._push_probe())
                yield from self._push_again()
            yield from self._row_ends()
        yield from self._probe_at_end()
        yield from self._flush()
        while self._again:
            yield from self._push_again()
            yield from self._flush()
        if self._owed:
            raise InferenceFailed(
                self._engine.info.device, f"never answered {len(self._owed)} batches", _CURE
            )

    @property
    def inference_ns(self) -> int:
        """From the first push's entry to the last answer's return."""
        if self.first_push_ns is None or self.last_answer_ns is None:
            return 0
        return self.last_answer_ns - self.first_push_ns

    def _push(self, batch: TileBatch) -> Logits | None:
        self._pace()
        entered = perf_counter_ns()
        if self.first_push_ns is None:
            self.first_push_ns = entered
        logits = self._engine.push(batch.tiles)
        self._latencies.add("accelerator", perf_counter_ns() - entered, len(batch.places))
        self._since_probe += len(batch.places)
        return logits

    def _flush(self) -> Iterator[Answered]:
        for logits in self._engine.flush():
            yield from self._settle(logits)

    def _push_again(self) -> Iterator[Answered]:
        """Compute doubted tiles again, and show by a known tile that the engine is sound."""
        while self._again:
            suspicious = any(doubted.doubt != TWICE for doubted in self._again)
            while self._again:
                doubted = self._again.popleft()
                self._owed.append(doubted)
                self._pace()
                yield from self._settle(self._engine.push(doubted.tiles))
            if suspicious:
                yield from self._settle(self._push_probe())

    def _probe_at_end(self) -> Iterator[Answered]:
        if self._probe and self.first_push_ns is not None:
            for _ in range(self._probe.batches_at_end):
                yield from self._settle(self._push_probe())

    def _push_probe(self) -> Logits | None:
        if self._probe is None:
            return None
        self._since_probe = 0
        self._owed.append(_Probed())
        self._pace()
        return self._engine.push(self._probe.tiles())

    def _settle(self, logits: Logits | None) -> Iterator[Answered]:
        if logits is None:
            return
        self.last_answer_ns = perf_counter_ns()
        owed = self._owed.popleft() if self._owed else None
        if isinstance(owed, TileBatch) and len(logits) == len(owed.places):
            owed.require_unchanged()
            yield from self._sound(owed, logits)
        elif isinstance(owed, _Doubted) and len(logits) == 1:
            yield from self._judge_again(owed, logits)
        elif isinstance(owed, _Probed) and self._probe:
            self._probe.judge(logits)
        else:
            raise InferenceFailed(
                self._engine.info.device,
                f"answered {len(logits)} tiles that were not the outstanding ones",
                _CURE,
            )
        yield from self._row_ends()

    def _sound(self, batch: TileBatch, logits: Logits) -> Iterator[Answered]:
        """The answers that are not doubted; the others are computed again."""
        if self._check is None:
            yield AnsweredBatch(batch.places, logits, batch.samples)
            return
        sound = []
        for number, place in enumerate(batch.places):
            doubt = self._check.doubt(place, batch.tiles[number], logits[number])
            if doubt:
                this = slice(number, number + 1)
                samples = batch.samples[this]
                self._doubt(_Doubted(place, batch.tiles[this], doubt, logits[this], samples))
            else:
                sound.append(number)
        if len(sound) == len(logits):
            yield AnsweredBatch(batch.places, logits, batch.samples)
        elif sound:
            places = tuple(batch.places[number] for number in sound)
            samples = tuple(batch.samples[number] for number in sound if batch.samples)
            yield AnsweredBatch(places, logits[sound], samples)

    def _doubt(self, doubted: _Doubted) -> None:
        self._again.append(doubted)
        self._in_doubt.add(doubted.place)

    def _judge_again(self, doubted: _Doubted, logits: Logits) -> Iterator[Answered]:
        check, (row, column) = self._check, doubted.place
        assert check is not None  # nothing is doubted without it
        tile = f"tile row {row}, column {column}"
        agrees, answers = check.same(doubted.logits, logits), doubted.answers + 1
        if agrees and not check.impossible(logits[0]):
            self._in_doubt.remove(doubted.place)
            check.accept(doubted.place, logits[0])
            if answers > _CONFIRMING:
                cause = f"gave a wrong answer, which {doubted.doubt}; {tile} was computed again"
                self._corrected(AnswerWrong(self._engine.info.device, cause, _NO_CURE))
            yield AnsweredBatch((doubted.place,), logits, doubted.samples)
        elif answers < _MOST_ANSWERS:
            self._doubt(replace(doubted, logits=logits, answers=answers))
        else:
            cause = f"gave {answers} answers to {tile} that cannot be trusted"
            raise AnswerWrong(
                self._engine.info.device, f"{cause}: the first {doubted.doubt}", _CURE
            )

    def _row_ends(self) -> Iterator[Answered]:
        while self._owed and isinstance(end := self._owed[0], GridRowDone):
            self._owed.popleft()
            self._ends.append(end)
        while self._ends and not any(row <= self._ends[0].row for row, _ in self._in_doubt):
            if self._check:
                self._check.forget_above(self._ends[0].row)
            yield self._ends.popleft()
