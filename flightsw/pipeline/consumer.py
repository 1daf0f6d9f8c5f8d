"""The consumer: drives the engine and puts its late answers back to their tiles."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from flightsw.engines.engine import Engine
from flightsw.errors import InferenceFailed
from flightsw.pipeline.latency import LatencyRecord
from flightsw.pipeline.work import Answered, AnsweredBatch, Prepared, RowEnd, TileBatch


class EngineConsumer:
    """Pushes batches into the engine; answers come out in order, row ends among them.

    A double-buffering engine answers some pushes later.  What is owed waits in
    a queue as deep as the engine has batches in flight.
    """

    def __init__(self, engine: Engine, latencies: LatencyRecord) -> None:
        self._engine = engine
        self._latencies = latencies
        self._owed: deque[Prepared] = deque()
        self.first_push_ns: int | None = None
        self.last_answer_ns: int | None = None

    def answer(self, prepared: Iterable[Prepared]) -> Iterator[Answered]:
        """Yield every batch with its logits, and every row end after its row's tiles."""
        for item in prepared:
            self._owed.append(item)
            if isinstance(item, TileBatch):
                logits = self._push(item)
                if logits is not None:
                    yield self._settle(logits)
            yield from self._row_ends()
        for logits in self._engine.flush():
            yield self._settle(logits)
            yield from self._row_ends()
        if self._owed:
            raise InferenceFailed(
                self._engine.info.device,
                f"{len(self._owed)} batches were never answered",
                "Run the self-test; the mask was not written",
            )

    @property
    def inference_ns(self) -> int:
        """From the first push's entry to the last answer's return."""
        if self.first_push_ns is None or self.last_answer_ns is None:
            return 0
        return self.last_answer_ns - self.first_push_ns

    def _push(self, batch: TileBatch) -> NDArray[np.int8] | None:
        entered = perf_counter_ns()
        if self.first_push_ns is None:
            self.first_push_ns = entered
        logits = self._engine.push(batch.tiles)
        self._latencies.add("accelerator", perf_counter_ns() - entered, len(batch.places))
        return logits

    def _settle(self, logits: NDArray[np.int8]) -> AnsweredBatch:
        self.last_answer_ns = perf_counter_ns()
        batch = self._owed.popleft()
        if not isinstance(batch, TileBatch) or len(logits) != len(batch.places):
            raise InferenceFailed(
                self._engine.info.device,
                f"{len(logits)} tiles came back that were not the ones owed",
                "Run the self-test; the mask was not written",
            )
        return AnsweredBatch(batch.places, logits)

    def _row_ends(self) -> Iterator[Answered]:
        while self._owed and isinstance(end := self._owed[0], RowEnd):
            self._owed.popleft()
            yield end
