"""Faults that are injected between the engine and its runtime, be that the card or the simulator.

The classes stand before those of ``axelera.runtime`` and pass on what they do not spoil.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from time import monotonic, sleep
from typing import Any, Final

import numpy as np
import structlog
from numpy.typing import NDArray

from flightsw.config import FaultSettings

_log: Final = structlog.get_logger(__name__)

EXCEPTIONS: Final = {
    "connection_error": "ConnectionError",
    "device_in_use": "DeviceInUse",
    "incompatible_device": "IncompatibleDevice",
    "internal_error": "InternalError",
    "invalid_argument": "InvalidArgument",
    "invalid_configuration": "InvalidConfiguration",
    "not_implemented": "NotImplemented",
    "pending": "Pending",
    "unknown_error": "UnknownError",
    "lost_device": "ConnectionError",
    "setup_in_use": "DeviceInUse",
    "setup_mismatch": "IncompatibleDevice",
}
"""Kinds of faults that raise an exception, and its name in ``axelera.runtime``."""
WRONG_ANSWERS: Final = ("inverted", "zero", "noise", "stale")
SETUP_KINDS: Final = ("setup_in_use", "setup_mismatch", "setup_slow")
FRAME_KINDS: Final = (
    *(kind for kind in EXCEPTIONS if kind not in SETUP_KINDS),
    "hang",
    "spike",
    *WRONG_ANSWERS,
    "over_temperature",
)
KINDS: Final = (*FRAME_KINDS, *SETUP_KINDS)
"""All kinds of faults: the keys of :class:`~flightsw.config.FaultSettings` with a probability."""


class FaultInjector:
    """Draws faults from a seed; used by every opening of the card in this process.

    Any thread may call; ``injected`` counts the faults by kind.
    """

    def __init__(self, settings: FaultSettings) -> None:
        self.settings = settings
        self._random = np.random.default_rng(settings.seed)
        self.injected: Counter[str] = Counter()
        self.lost = False
        self._drawing = threading.Lock()
        self._turns: Counter[tuple[str, ...]] = Counter()
        self._hot_until = 0.0

    def draw(self, kinds: tuple[str, ...]) -> str:
        """The fault of this frame or opening, which is counted; empty for none."""
        settings = self.settings
        with self._drawing:
            self._turns[kinds] += 1
            rates = np.array([getattr(settings, kind) for kind in kinds])
            drawn = np.flatnonzero(self._random.random(len(kinds)) < rates)
            spent = settings.most is not None and self.injected.total() >= settings.most
            if not drawn.size or spent or self._turns[kinds] <= settings.first:
                return ""
            kind: str = kinds[int(drawn[0])]
            self.injected[kind] += 1
            self.lost = self.lost or kind == "lost_device"
            if kind == "over_temperature":
                self._hot_until = monotonic() + settings.hot_seconds
            turn = self._turns[kinds]
        _log.warning("a fault is injected", kind=kind, turn=turn)
        return kind

    def noise(self, shape: tuple[int, ...]) -> NDArray[np.int8]:
        """A random answer."""
        with self._drawing:
            return self._random.integers(-128, 128, shape, np.int8)

    @property
    def celsius(self) -> float | None:
        """What the temperature sensor shows instead of the temperature, if it does."""
        return self.settings.celsius if monotonic() < self._hot_until else None


@cache
def injector_of(settings: FaultSettings) -> FaultInjector:
    """The injector of these settings in this process: its draws continue over openings."""
    return FaultInjector(settings)


class FaultyContext:
    """A context whose model is loaded onto instances that fail.

    ``faults`` are the exceptions of the runtime, of which the injected ones are made.
    """

    def __init__(
        self, context: Any, injector: FaultInjector, faults: Sequence[type[Exception]]
    ) -> None:
        self._context = context
        self._injector = injector
        self._exceptions = _by_name(faults)
        self._setup = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def load_model(self, path: str) -> Any:
        """Load the model, late or not at all."""
        self._require_device()
        self._setup = self._injector.draw(SETUP_KINDS)
        if self._setup == "setup_mismatch":
            raise self._exceptions(self._setup)
        if self._setup == "setup_slow":
            sleep(self._injector.settings.setup_seconds)
        return self._context.load_model(path)

    def device_connect(self, *given: Any) -> _FaultyConnection:
        """Connect, unless another process seems to hold the card."""
        self._require_device()
        if self._setup == "setup_in_use":
            raise self._exceptions(self._setup)
        connection = self._context.device_connect(*given)
        return _FaultyConnection(connection, self._injector, self._exceptions)

    def _require_device(self) -> None:
        if self._injector.lost:
            raise self._exceptions("lost_device")


class _FaultyConnection:
    def __init__(
        self, connection: Any, injector: FaultInjector, exceptions: Callable[[str], Exception]
    ) -> None:
        self._connection = connection
        self._injector = injector
        self._exceptions = exceptions

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def load_model_instance(self, model: Any, **properties: int) -> _FaultyInstance:
        instance = self._connection.load_model_instance(model, **properties)
        return _FaultyInstance(instance, self._injector, self._exceptions)


class _FaultyInstance:
    def __init__(
        self, instance: Any, injector: FaultInjector, exceptions: Callable[[str], Exception]
    ) -> None:
        self._instance = instance
        self._injector = injector
        self._exceptions = exceptions

    def __getattr__(self, name: str) -> Any:
        return getattr(self._instance, name)

    def run(self, inputs: list[Any], outputs: list[NDArray[np.int8]]) -> None:
        """Run a frame with the fault that is drawn for it."""
        settings = self._injector.settings
        if self._injector.lost:
            raise self._exceptions("lost_device")
        kind = self._injector.draw(FRAME_KINDS)
        if kind in EXCEPTIONS:
            raise self._exceptions(kind)
        if kind == "hang":
            sleep(settings.hang_seconds)
        before = outputs[0].copy() if kind == "stale" else None
        self._instance.run(inputs, outputs)
        if kind == "spike":
            sleep(settings.spike_ms / 1000)
        if kind == "inverted":
            np.invert(outputs[0], out=outputs[0])
        elif kind == "zero":
            outputs[0].fill(0)
        elif kind == "noise":
            outputs[0][...] = self._injector.noise(outputs[0].shape)
        elif before is not None:
            outputs[0][...] = before


def _by_name(faults: Sequence[type[Exception]]) -> Callable[[str], Exception]:
    """Makes the exception of a kind, of the runtime's own class."""

    def make(kind: str) -> Exception:
        fault = named.get(EXCEPTIONS[kind], RuntimeError)  # a runtime may lack one
        return fault(f"injected: {kind}")

    # The simulator's have a common base, which is all that its runtime names.
    every = (*faults, *(one for base in faults for one in base.__subclasses__()))
    named = {one.__name__: one for one in every}
    return make
