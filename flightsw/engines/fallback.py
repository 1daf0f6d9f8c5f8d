"""What follows a failing engine, step by step (docs/decisions/0012-a-chain-of-engines.md).

1. A call fails: the engine is reopened and its outstanding batches are resubmitted
   (:class:`~flightsw.engines.reconnecting.ReconnectingEngine`); the scene continues unaffected.
2. That does not help: the engine is reopened, passes its golden tiles, and the scene starts again.
3. That fails too: the next engine of the chain takes the scene from its beginning.
4. No engine is left: the first failure is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import structlog
from msgspec.structs import replace

from flightsw.config import Settings
from flightsw.engines.dimc.engine import open_dimc_engine
from flightsw.engines.dimc.refresh import refresh_card
from flightsw.engines.engine import Engine
from flightsw.engines.golden import check_golden_tiles
from flightsw.engines.reconnecting import ReconnectingEngine
from flightsw.errors import AnswerWrong, EngineError, EngineUnavailable, InferenceFailed
from flightsw.host.torch_library import require_torch
from flightsw.model.golden import GoldenReport
from flightsw.model.package import ModelPackage
from telecommands.dictionary import EngineName

Result = TypeVar("Result")

_log: Final = structlog.get_logger(__name__)

_TEST_CURE: Final = "Refresh the card and run the self-test again, or change the model"


def _ignore(_: EngineError) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class EngineNotices:
    """Called when an engine was given up for the next one, or failed and was reopened.

    ``corrected``: it gave a tile a wrong answer, which was found and replaced.
    ``opening`` is entered while an engine opens: building one for the GPU takes minutes.
    """

    given_up: Callable[[EngineError], None] = _ignore
    recovered: Callable[[EngineError], None] = _ignore
    opening: Callable[[], AbstractContextManager[None]] = nullcontext
    corrected: Callable[[EngineError], None] = _ignore


def open_engine(name: EngineName, package: ModelPackage, settings: Settings) -> Engine:
    """Open one engine.

    Raises :class:`EngineUnavailable` if its library, device or file is absent, and
    :class:`~flightsw.errors.PackageInvalid` if the package contradicts itself.
    """
    if name == "dimc":
        return open_dimc_engine(package, settings.dimc)
    # Loaded only if they serve: torch takes 200 MB, and is an extra.
    require_torch(name)
    if name == "tensorrt":
        from flightsw.engines.tensorrt.engine import open_tensorrt_engine  # noqa: PLC0415

        return open_tensorrt_engine(package, settings.tensorrt)
    from flightsw.engines.torch.engine import open_torch_engine  # noqa: PLC0415

    return open_torch_engine(package, settings.torch, "cuda" if name == "torch-cuda" else "cpu")


class EngineFallback:
    """The engines of a chain, one of them open at a time.  Used by one thread."""

    def __init__(
        self,
        names: Sequence[EngineName],
        package: ModelPackage,
        settings: Settings,
        notices: EngineNotices,
    ) -> None:
        self._names = tuple(names)
        self._package = package
        self._settings = settings
        self._notices = notices
        self._place = 0
        self._engine: ReconnectingEngine | None = None
        self._failures: list[EngineError] = []

    def serve(
        self, work: Callable[[ReconnectingEngine], Result], only: EngineName | None = None
    ) -> Result:
        """Do ``work`` with the first engine that completes it; it starts again after a failure.

        An engine that fails once is reopened and tested; if it passes its golden tiles, it serves
        again.  If it does not, cannot be reopened, or fails a second time, the next engine takes
        over; if none is left, the first failure is raised.  With ``only`` no engine of another
        name takes over, and the failure of the named one is raised.
        """
        if only is not None and only != self._names[self._place]:
            alone = EngineFallback([only], self._package, self._settings, self._notices)
            with closing(alone):
                return alone.serve(work, only)
        failed = -1
        while True:
            engine = self._open_current() if only else self.engine()
            try:
                return work(engine)
            except EngineError as failure:
                if isinstance(failure, EngineUnavailable) and not engine.closed:
                    raise  # the engine is fine; the scene's bands or the quantiser are not
                engine.close()
                first, failed = failed != self._place, self._place
                if first and isinstance(failure, InferenceFailed) and self._recovers():
                    self._notices.recovered(failure)
                elif only:
                    raise
                else:
                    self._give_up(failure)

    def find_sound(self) -> GoldenReport:
        """Run the golden tiles on one engine after the other until they come out right.

        The report of the first sound engine; if there is none, that of the last engine that
        answered.  Raises the first failure if none answered.
        """
        wrong: GoldenReport | None = None
        while (engine := self._open_next()) is not None:
            failure: EngineError
            try:
                report = check_golden_tiles(engine, self._package)
                if report.passed:
                    return report
                wrong = report
                cause = f"gave wrong answers: {report.as_text()}"
                failure = AnswerWrong(report.engine, cause, _TEST_CURE)
            except EngineError as error:
                failure = error
            self._give_up(failure)
        first = self._start_over()
        if wrong is None:
            raise first
        return wrong

    def engine(self) -> ReconnectingEngine:
        """The engine that serves: the open one, the same reopened if it was closed, or the next.

        Raises the first failure if no engine is left; the chain then starts with its first engine
        again.  Raises :class:`~flightsw.errors.PackageInvalid` as :func:`open_engine` does.
        """
        engine = self._open_next()
        if engine is None:
            raise self._start_over()
        return engine

    @property
    def opened(self) -> ReconnectingEngine | None:
        """The engine that is open now; any thread may ask."""
        return self._engine

    def close(self) -> None:
        """Give the devices back; the chain then starts with its first engine again."""
        self._close_engine()
        self._place = 0
        self._failures = []

    def _recovers(self) -> bool:
        """Whether the engine that failed passes its golden tiles after it was reopened."""
        try:
            return check_golden_tiles(self._open_current(), self._package).passed
        except EngineError:
            return False

    def _open_next(self) -> ReconnectingEngine | None:
        """The first engine, from the current one on, that opens; None if no engine is left."""
        while self._place < len(self._names):
            try:
                return self._open_current()
            except EngineUnavailable as refusal:
                self._give_up(refusal)
        return None

    def _open_current(self) -> ReconnectingEngine:
        """The current engine, opened if it is not open; raises what :func:`open_engine` raises."""
        if self._engine is None or self._engine.closed:
            name = self._names[self._place]
            engine = self._open_again(name) if self._engine else self._open(name, self._settings)
            reopen = partial(self._open_again, name)
            self._engine = ReconnectingEngine(engine, reopen, self._notices.recovered)
        return self._engine

    def _give_up(self, why: EngineError) -> None:
        """Close the current engine and make the next one current, if one is left."""
        self._failures.append(why)
        self._close_engine()
        self._place += 1
        if self._place < len(self._names):
            self._notices.given_up(why)

    def _start_over(self) -> EngineError:
        """Make the first engine current again; the first failure of the exhausted chain."""
        first = self._failures[0]
        self.close()
        return first

    def _close_engine(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def _open(self, name: EngineName, settings: Settings) -> Engine:
        with self._notices.opening():
            return open_engine(name, self._package, settings)

    def _open_again(self, name: EngineName) -> Engine:
        """Open the engine that was closed; a card that cannot be reopened is refreshed once."""
        settings = self._settings
        if self._engine is not None and not self._engine.info.simulated:
            # The simulator must not complete what a card began: a mask has one author.
            settings = replace(settings, dimc=replace(settings.dimc, card="card"))
        try:
            return self._open(name, settings)
        except EngineUnavailable as gone:
            if name != "dimc" or not refresh_card(settings.dimc):
                raise
            _log.warning("the card was refreshed", because=str(gone))
            return self._open(name, settings)
