"""The consumer: drives the engine and assigns its late answers to their tiles."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Final, Protocol

from flightsw.engines.engine import Engine, Logits, Tiles
from flightsw.errors import InferenceFailed
from flightsw.pipeline.latency import LatencyRecord
from flightsw.pipeline.work import Answered, AnsweredBatch, GridRowDone, PipelineItem, TileBatch

_CURE: Final = "Run the self-test; the mask was not written"


class Probe(Protocol):
    """Tiles whose answers are known, sent among the scene's."""

    def tiles(self) -> Tiles:
        """The next batch to send."""
        ...

    def judge(self, logits: Logits) -> None:
        """Raise :class:`~flightsw.errors.AnswerWrong` if the answer of the oldest is wrong."""
        ...


@dataclass(frozen=True)
class _Probed:
    """Marks a batch of the probe in the queue of outstanding batches."""


class EngineConsumer:
    """Pushes batches into the engine; answers come out in order, row ends among them.

    A double-buffering engine answers some pushes later.  Outstanding items wait in
    a queue as deep as the engine has batches in flight.  ``probe`` is sent after every
    ``probe_every`` tiles and after the last one; 0 leaves it out.
    """

    def __init__(
        self,
        engine: Engine,
        latencies: LatencyRecord,
        probe: Probe | None = None,
        probe_every: int = 0,
    ) -> None:
        self._engine = engine
        self._latencies = latencies
        self._probe = probe if probe_every else None
        self._probe_every = probe_every
        self._since_probe = 0
        self._owed: deque[PipelineItem | _Probed] = deque()
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
            yield from self._row_ends()
        yield from self._settle(self._push_probe())
        for logits in self._engine.flush():
            yield from self._settle(logits)
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
        entered = perf_counter_ns()
        if self.first_push_ns is None:
            self.first_push_ns = entered
        logits = self._engine.push(batch.tiles)
        self._latencies.add("accelerator", perf_counter_ns() - entered, len(batch.places))
        self._since_probe += len(batch.places)
        return logits

    def _push_probe(self) -> Logits | None:
        if self._probe is None or not self._since_probe:
            return None
        self._since_probe = 0
        self._owed.append(_Probed())
        return self._engine.push(self._probe.tiles())

    def _settle(self, logits: Logits | None) -> Iterator[Answered]:
        if logits is None:
            return
        self.last_answer_ns = perf_counter_ns()
        owed = self._owed.popleft() if self._owed else None
        if isinstance(owed, TileBatch) and len(logits) == len(owed.places):
            yield AnsweredBatch(owed.places, logits)
        elif isinstance(owed, _Probed) and self._probe:
            self._probe.judge(logits)
        else:
            raise InferenceFailed(
                self._engine.info.device,
                f"answered {len(logits)} tiles that were not the outstanding ones",
                _CURE,
            )
        yield from self._row_ends()

    def _row_ends(self) -> Iterator[Answered]:
        while self._owed and isinstance(end := self._owed[0], GridRowDone):
            self._owed.popleft()
            yield end
