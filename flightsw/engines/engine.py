"""The one interface to whatever runs a batch of tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self


@dataclass(frozen=True)
class EngineInfo:
    """What the pipeline must know of an engine.

    Tiles go in as int8 ``(n, tile_size, tile_size, len(bands))`` with n at most
    ``batch``; logits come out as int8 ``(n, tile_size, tile_size,
    len(classes))``.  Real value = (int8 - zero point) * scale; the input's real
    value is reflectance.  ``tag`` is the engine's name in product file names.
    """

    name: str
    tag: str
    device: str
    precision: str
    batch: int
    tile_size: int
    bands: tuple[str, ...]
    classes: tuple[str, ...]
    input_scale: float
    input_zero_point: int
    output_scale: float
    output_zero_point: int
    model_id: str


@dataclass(frozen=True)
class CardReadings:
    """What the card (or its twin) measured since the engine was opened.

    ``busy_ns`` of ``span_ns`` the card was computing, from its first tile's
    start to its last tile's end.  Power in W, energy in J, temperature in °C;
    None where the card has no such sensor.
    """

    busy_ns: int
    span_ns: int
    energy_joules: float | None
    power_watts: float | None
    temperature_celsius: float | None


class Engine(Protocol):
    """Runs tiles in order.  Used by one thread at a time.

    ``push`` may hand back the logits of an earlier batch (double buffering),
    or None when none is ready yet; ``flush`` yields the rest, in order.  Each
    batch that is pushed comes back exactly once, with as many tiles.  The
    arrays handed back belong to the caller.  All raise
    :class:`~flightsw.errors.EngineError`.
    """

    @property
    def info(self) -> EngineInfo:
        """What the pipeline must know of the engine."""
        ...

    def infer(self, tiles: NDArray[np.int8]) -> NDArray[np.int8]:
        """Run one batch and wait for its own answer; nothing may be in flight."""
        ...

    def push(self, tiles: NDArray[np.int8]) -> NDArray[np.int8] | None:
        """Run one batch; the logits of the batch that is due, if there is one."""
        ...

    def flush(self) -> Iterator[NDArray[np.int8]]:
        """Logits of the batches that are still in flight, in order."""
        ...

    def readings(self) -> CardReadings | None:
        """What the card measured, or None where it tells nothing."""
        ...

    def close(self) -> None:
        """Give the card back; may be called again."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
