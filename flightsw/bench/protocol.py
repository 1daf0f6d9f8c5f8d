"""One engine through the protocol.

Two ways, and each figure says which: *as in flight*, the pipeline's own threads over strips from
memory (throughput, energy, temperature, set-up), and *tile by tile*, the reference's single loop
with one batch at a time in the accelerator (latency, jitter, transfers).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from time import monotonic, perf_counter
from typing import TypeAlias

import numpy as np

from flightsw.bench.agreement import GoldenAgreement
from flightsw.bench.power import PowerMeter
from flightsw.bench.reference import REFERENCE_TILES
from flightsw.bench.results import EngineResult, Protocol
from flightsw.bench.scene import reference_scenes
from flightsw.bench.statistics import (
    added_jitter_ms,
    cadence_jitter_ms,
    energy_figures,
    timing_figures,
    timings,
    transfer_split,
)
from flightsw.bench.subjects import Subject, blocking
from flightsw.bench.tile_by_tile import Samples, TileByTile
from flightsw.config import TwinSettings
from flightsw.dimc.simulator.twin import CORES, LatencyDraw
from flightsw.engines.engine import CardReadings, Engine
from flightsw.engines.fallback import open_engine
from flightsw.errors import EngineError, EngineUnavailable
from flightsw.model.package import ModelPackage
from flightsw.pipeline import process_scene
from flightsw.scene.array_scene import ArrayScene

ProgressCallback: TypeAlias = Callable[[str, int, int], None]
"""Called with the name of the phase, how much of it is done, and of how much."""

Figures: TypeAlias = dict[str, float]


@dataclass(frozen=True)
class Bench:
    """What all engines of a benchmark have in common."""

    package: ModelPackage
    scene: ArrayScene
    protocol: Protocol
    golden: GoldenAgreement
    progress: ProgressCallback


def measure(subject: Subject, bench: Bench) -> EngineResult:
    """Run the protocol; raises the :class:`~flightsw.errors.FlightError` that ends it."""
    meter, notes = PowerMeter(), []
    idle_watts = meter.read()
    started = perf_counter()
    with open_engine(subject.engine, bench.package, subject.settings) as engine:
        figures: Figures = {"set_up": perf_counter() - started}
        info = engine.info
        try:
            figures["agreement"] = 100 * _agreement(engine, subject, bench)
        except EngineError as error:
            notes.append(f"agreement: {error.sentence}")
        figures |= _as_in_flight(engine, subject, bench, meter, idle_watts)
    with open_engine(subject.engine, bench.package, blocking(subject.settings)) as engine:
        samples, more = _tile_by_tile(engine, subject, bench)
    if info.tile_size != bench.package.tile_size:
        notes.append(f"tile by tile: the milliseconds are for its own tiles of {info.tile_size}")
    stages = timings(samples)
    return EngineResult(
        title=subject.title,
        engine=subject.engine,
        settings=subject.description,
        device=info.device,
        precision=info.precision,
        batch=info.batch,
        tile_size=info.tile_size,
        tiles=len(samples["accelerator"]),
        figures=figures | timing_figures(stages, info.batch) | more,
        stages=stages,
        samples_ns=samples,
        notes=tuple(notes),
    )


def draw_latencies_ns(twin: TwinSettings, batch: int, calls: int) -> list[int]:
    """Latencies that the twin draws for the first calls of an instance on all four cores."""
    draw = LatencyDraw(twin, batch, CORES)
    return [draw.next_ns() for _ in range(calls)]


def _agreement(engine: Engine, subject: Subject, bench: Bench) -> float:
    """Raises :class:`EngineUnavailable` if the golden tiles cannot judge this engine."""
    info = engine.info
    if not subject.computes:
        raise EngineUnavailable(info.name, "is a twin, whose answers are not the network's")
    if info.tile_size != bench.package.tile_size:
        cause = f"has windows of {info.tile_size}, larger than the golden tiles"
        raise EngineUnavailable(info.name, cause)
    return bench.golden.of(engine)


def _as_in_flight(
    engine: Engine, subject: Subject, bench: Bench, meter: PowerMeter, idle_watts: float | None
) -> Figures:
    scene, pipeline = bench.scene.in_bands(engine.info.bands), subject.settings.pipeline
    before = engine.readings()
    _soak(engine, scene, subject, bench)
    begun = engine.readings()

    def report(done: int, height: int) -> None:
        bench.progress(f"{subject.title}: as in flight", done, height)

    with meter:
        summary = process_scene(scene, engine, pipeline, progress=report)
    ended = engine.readings()
    # In tiles and scenes of the reference's size, whatever the size of this engine's tiles.
    scenes = reference_scenes(bench.scene.metadata, bench.package)
    tiles_each = scenes * REFERENCE_TILES / summary.tiles
    reached = (summary.tiles - summary.tiles_without_data) * tiles_each
    figures: dict[str, float | None] = {
        "throughput": reached / summary.inference_seconds,
        "inference": summary.inference_seconds / scenes,
        "idle_power": before.power_watts if before and before.power_watts else idle_watts,
        "start_temperature": before.temperature_celsius if before else None,
        "end_temperature": ended.temperature_celsius if ended else None,
    }
    if summary.card_busy_share is not None:
        figures["busy_share"] = 100 * summary.card_busy_share
    if subject.twin and not subject.computes and ended and ended.pauses_ns:
        frames = ceil((summary.tiles - summary.tiles_without_data) / engine.info.batch)
        within = ended.pauses_ns[1 - frames :]  # not the pause before the scene's first frame
        figures["cadence_jitter"] = cadence_jitter_ms(within, engine.info.batch)
    joules = _joules(begun, ended)
    if joules is None and meter.mean_watts is not None:
        joules = meter.mean_watts * summary.seconds
    if joules is not None:
        figures |= energy_figures(joules, summary.seconds, reached, scenes)
    return {key: value for key, value in figures.items() if value is not None}


def _soak(engine: Engine, scene: ArrayScene, subject: Subject, bench: Bench) -> None:
    """Run scene after scene until the time is up; the last one is finished."""
    seconds = bench.protocol.soak_seconds
    started = monotonic()
    while (passed := monotonic() - started) < seconds:

        def report(_done: int, _height: int, passed: float = passed) -> None:
            bench.progress(f"{subject.title}: soak", round(passed), round(seconds))

        process_scene(scene, engine, subject.settings.pipeline, progress=report)


def _tile_by_tile(engine: Engine, subject: Subject, bench: Bench) -> tuple[Samples, Figures]:
    scene, pipeline = bench.scene.in_bands(engine.info.bands), subject.settings.pipeline
    steady = TileByTile(engine, scene, pipeline)
    # Larger windows in proportion to their area: one takes as long as many of the reference's.
    share = (bench.package.tile_size / engine.info.tile_size) ** 2
    tiles = min(ceil(bench.protocol.tiles * share), steady.tiles)
    warm_up = min(ceil(bench.protocol.warm_up * share), tiles)
    TileByTile(engine, scene, pipeline).run(warm_up)
    begun = engine.readings()
    samples = steady.run(
        tiles, lambda done, of: bench.progress(f"{subject.title}: tile by tile", done, of)
    )
    ended = engine.readings()
    figures: Figures = {}
    measured = np.array(samples["accelerator"], dtype=np.int64)
    if begun and ended and begun.busy_ns is not None and ended.busy_ns is not None:
        busy_ns = ended.busy_ns - begun.busy_ns
        figures |= transfer_split(int(measured.sum()), busy_ns, len(measured))
    one_card = subject.settings.dimc.arrangement != "instances"  # each of them draws for itself
    if subject.twin and not subject.computes and one_card:
        batch = engine.info.batch
        warm_calls = ceil(warm_up / batch)
        calls = draw_latencies_ns(subject.twin, batch, warm_calls + len(measured) // batch)
        drawn = np.repeat(np.array(calls[warm_calls:]) // batch, batch)
        figures["added_jitter"] = added_jitter_ms(measured, drawn)
    return samples, figures


def _joules(begun: CardReadings | None, ended: CardReadings | None) -> float | None:
    if not begun or not ended or begun.energy_joules is None or ended.energy_joules is None:
        return None
    return ended.energy_joules - begun.energy_joules
