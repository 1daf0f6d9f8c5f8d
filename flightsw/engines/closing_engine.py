"""The common part of engines that close themselves after a failed call."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from flightsw.engines.engine import Engine, EngineInfo, Logits, Tiles
from flightsw.errors import InferenceFailed


class ClosingEngine(Engine):
    """The common part of such engines.

    After a failed or interrupted call nobody knows which batch the next answer belongs to, so
    the engine closes itself and gives the reason at the next call: open a new one.
    """

    _CURE: ClassVar[str]

    def __init__(self, info: EngineInfo) -> None:
        self._info = info
        self._closed_because = ""

    @property
    def info(self) -> EngineInfo:
        """What the pipeline must know."""
        return self._info

    def infer(self, tiles: Tiles) -> Logits:
        """Run one batch and wait for its own answer; nothing may be in flight."""
        self._require_open()
        if self._busy:
            raise InferenceFailed(
                self._info.device, "still has batches in flight", "Flush the engine first"
            )
        logits = self.push(tiles)
        return next(self.flush()) if logits is None else logits

    def close(self) -> None:
        """Give the device back; batches in flight are lost.  May be called again."""
        self._close("is closed")

    @property
    @abstractmethod
    def _busy(self) -> bool:
        """Whether a batch is in flight."""

    @abstractmethod
    def _release(self) -> None:
        """Give the device back, whatever state it is in; called once."""

    @contextmanager
    def _closing_on_failure(self) -> Iterator[None]:
        self._require_open()
        try:
            yield
        except InferenceFailed as error:
            self._close(f"closed itself because {error.sentence}")
            raise
        except BaseException:
            self._close("closed itself because a call was interrupted")
            raise

    def _require_open(self) -> None:
        if self._closed_because:
            raise InferenceFailed(self._info.device, self._closed_because, self._CURE)

    def _close(self, because: str) -> None:
        if not self._closed_because:
            self._closed_because = because
            self._release()
