"""The one interface to everything that runs a batch of tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from flightsw.errors import InferenceFailed
from flightsw.model.description import Quantisation as Quantisation  # noqa: PLC0414 - part of EngineInfo

Tiles: TypeAlias = NDArray[np.int8 | np.floating[Any]]
"""Tiles NHWC ``(n, tile_size, tile_size, bands)`` in the engine's ``tile_dtype``."""
Logits: TypeAlias = NDArray[np.int8 | np.floating[Any]]
"""Logits NHWC ``(n, tile_size, tile_size, classes)`` of int8 (``EngineInfo.output``) or float32."""
Precision: TypeAlias = Literal["int8", "fp16", "fp32"]


@dataclass(frozen=True)
class EngineInfo:
    """What the pipeline must know of an engine.

    Tiles go in as ``(n, tile_size, tile_size, len(bands))`` with n at most
    ``batch``; logits come out as ``(n, tile_size, tile_size, len(classes))``.
    The input's real value is reflectance; real value = (int8 - zero point) * scale if
    ``input`` and ``output`` are given, else the numbers themselves.  Real logits are divided by
    ``temperature`` before they become probabilities.  Windows lie ``stride``
    pixels apart.  ``tag`` is the engine's name in product file names.  ``thread_priority`` is the
    real-time priority (:func:`~flightsw.host.real_time.real_time`) of the thread that uses
    it: above 0 only if that thread mostly waits.  ``simulated``: a simulator, not a card.
    """

    name: str
    tag: str
    device: str
    precision: Precision
    batch: int
    tile_size: int
    stride: int
    bands: tuple[str, ...]
    classes: tuple[str, ...]
    model_id: str
    input: Quantisation | None = None
    output: Quantisation | None = None
    temperature: float = 1.0
    thread_priority: int = 0
    simulated: bool = False

    @property
    def tile_dtype(self) -> np.dtype[Any]:
        """The dtype of tiles: int8, float16 or float32."""
        return np.dtype({"int8": np.int8, "fp16": np.float16, "fp32": np.float32}[self.precision])

    def require_fit(self, tiles: Tiles) -> None:
        """Raise :class:`~flightsw.errors.InferenceFailed` unless these are 1 to ``batch`` tiles."""
        tile = (self.tile_size, self.tile_size, len(self.bands))
        fits = tiles.dtype == self.tile_dtype and tiles.shape[1:] == tile
        if fits and 1 <= len(tiles) <= self.batch:
            return
        expected = f"1 to {self.batch} {self.tile_dtype} {tile}"
        found = f"{tiles.dtype} {tiles.shape}"
        raise InferenceFailed(
            self.device,
            f"takes tiles of {expected}, not of {found}",
            "Prepare the tiles as the engine's info says",
            expected=expected,
            found=found,
        )


@dataclass(frozen=True)
class CardReadings:
    """What the card (or its twin) measured since the engine was opened.

    ``busy_ns`` of ``span_ns`` the card was computing, from its first tile's
    start to its last tile's end; ``pauses_ns`` lie between one frame's end and the next one's
    start: the latest few thousand of one instance, empty if unknown.  Power in W, energy
    in J, temperature in °C.  None of what the card does not measure.
    """

    busy_ns: int | None
    span_ns: int | None
    energy_joules: float | None
    power_watts: float | None
    temperature_celsius: float | None
    pauses_ns: tuple[int, ...] = ()


class Engine(Protocol):
    """Runs tiles in order.  Used by one thread at a time.

    ``push`` may hand back the logits of an earlier batch (double buffering),
    or None when none is ready yet; ``flush`` yields the rest, in order.  Each
    batch that is pushed comes back exactly once, with as many tiles.  Tiles
    must not change before their answer is out; the arrays handed back belong
    to the caller.  All raise
    :class:`~flightsw.errors.EngineError`.
    """

    @property
    def info(self) -> EngineInfo:
        """What the pipeline must know of the engine."""
        ...

    def infer(self, tiles: Tiles) -> Logits:
        """Run one batch and wait for its own answer; nothing may be in flight."""
        ...

    def push(self, tiles: Tiles) -> Logits | None:
        """Run one batch; the logits of the batch that is due, if there is one."""
        ...

    def flush(self) -> Iterator[Logits]:
        """Logits of the batches that are still in flight, in order."""
        ...

    def readings(self) -> CardReadings | None:
        """What the card measured, or None if it measures nothing."""
        ...

    def close(self) -> None:
        """Give the card back; may be called again."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
