"""What a benchmark found, as it is written to ``bench.json``."""

from __future__ import annotations

import msgspec

from flightsw.products.contents import StageTiming


class EngineResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One engine through the protocol; ``absent`` is one line that says why it has no figures.

    ``figures`` by the keys of :data:`flightsw.bench.reference.REFERENCE`; ``stages`` in
    milliseconds a tile, ``tile`` being the sum of them; ``samples_ns`` are the same tiles'
    nanoseconds, one a tile.  ``notes`` explain missing figures.
    """

    title: str
    engine: str
    settings: str
    absent: str | None = None
    device: str = ""
    precision: str = ""
    batch: int = 0
    tile_size: int = 0
    tiles: int = 0
    figures: dict[str, float] = {}
    stages: dict[str, StageTiming] = {}
    samples_ns: dict[str, list[int]] = {}
    notes: tuple[str, ...] = ()


class Protocol(msgspec.Struct, frozen=True):
    """What was asked for: tiles, warm-up tiles before them, and seconds of soak before those."""

    tiles: int = 2809
    warm_up: int = 50
    soak_seconds: float = 0.0


class BenchResult(msgspec.Struct, frozen=True, kw_only=True):
    """The whole benchmark; ``partial`` until all ``planned`` engines are done."""

    format: int = 1
    partial: bool
    started_at: str
    machine: str
    software_version: str
    model_id: str
    scene: str
    protocol: Protocol
    planned: tuple[str, ...] = ()
    engines: tuple[EngineResult, ...] = ()
    notes: tuple[str, ...] = ()
