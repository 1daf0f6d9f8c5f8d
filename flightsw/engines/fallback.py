"""Which engine serves: the first of a chain that opens, and the next one after it failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from msgspec.structs import replace

from flightsw.config import Settings
from flightsw.engines.dimc.engine import open_dimc_engine
from flightsw.engines.dimc.refresh import refresh_card
from flightsw.engines.engine import Engine
from flightsw.engines.reconnecting import ReconnectingEngine
from flightsw.errors import EngineError, EngineUnavailable
from flightsw.model.package import ModelPackage
from telecommands.dictionary import EngineName

_log: Final = structlog.get_logger(__name__)


def _unheard(_: EngineError) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class EngineNotices:
    """Who hears of an engine that was given up for the next one, or failed and was opened anew.

    ``opening`` is entered while an engine opens: building one for the GPU takes minutes.
    """

    given_up: Callable[[EngineError], None] = _unheard
    mended: Callable[[EngineError], None] = _unheard
    opening: Callable[[], AbstractContextManager[None]] = nullcontext


def open_engine(name: EngineName, package: ModelPackage, settings: Settings) -> Engine:
    """Open one engine.

    Raises :class:`EngineUnavailable` where its library, device or file is absent, and
    :class:`~flightsw.errors.PackageInvalid` where the package contradicts itself.
    """
    if name == "dimc":
        return open_dimc_engine(package, settings.dimc)
    # Loaded only where they serve: torch takes 200 MB.
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

    def engine(self, only: EngineName | None = None) -> ReconnectingEngine:
        """The engine that serves: the open one, the same again where it was closed, or the next.

        Raises what :func:`open_engine` raises; where no engine is left, the first failure.  With
        ``only`` no next one takes the place of the one that serves, whose name it is.
        """
        while self._engine is None or self._engine.closed:
            name = self._names[self._place]
            try:
                engine = (
                    self._open_again(name) if self._engine else self._open(name, self._settings)
                )
            except EngineUnavailable as refusal:
                if only is not None:
                    raise
                self.give_up(refusal)
            else:
                reopen = partial(self._open_again, name)
                self._engine = ReconnectingEngine(engine, reopen, self._notices.mended)
        return self._engine

    @property
    def opened(self) -> ReconnectingEngine | None:
        """The engine that is open now; any thread may ask."""
        return self._engine

    def give_up(self, why: EngineError) -> None:
        """Close the engine that serves, so that the next one does.

        Where it was the last, the chain begins anew and the first failure is raised.
        """
        self._failures.append(why)
        if self._place + 1 >= len(self._names):
            first = self._failures[0]
            self.close()
            raise first
        self._close_engine()
        self._place += 1
        self._notices.given_up(why)

    def close(self) -> None:
        """Give the devices back; the chain then begins with its first engine again."""
        self._close_engine()
        self._place = 0
        self._failures = []

    def _close_engine(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def _open(self, name: EngineName, settings: Settings) -> Engine:
        with self._notices.opening():
            return open_engine(name, self._package, settings)

    def _open_again(self, name: EngineName) -> Engine:
        """Open the engine that was closed; a card that does not come back is refreshed once."""
        settings = self._settings
        if self._engine is not None and not self._engine.info.simulated:
            # No simulator ends what a card has begun: a mask has one author.
            settings = replace(settings, dimc=replace(settings.dimc, card="card"))
        try:
            return self._open(name, settings)
        except EngineUnavailable as gone:
            if name != "dimc" or not refresh_card(settings.dimc):
                raise
            _log.warning("the card was refreshed", because=str(gone))
            return self._open(name, settings)
