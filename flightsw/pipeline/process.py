"""The path of a scene: strips to tiles to logits to finished rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from flightsw.config import PipelineSettings
from flightsw.engines.engine import CardReadings, Engine, EngineInfo
from flightsw.errors import EmptyScene, EngineError, EngineUnavailable, InferenceFailed
from flightsw.pipeline.answer_check import AnswerCheck
from flightsw.pipeline.area_rows import AreaRows
from flightsw.pipeline.consumer import CorrectionCallback, EngineConsumer, Probe
from flightsw.pipeline.dilation import RowDilation
from flightsw.pipeline.experience import SAMPLE_EVERY, SceneExperience
from flightsw.pipeline.fusion import Fusion, MaskFusion
from flightsw.pipeline.governor import Governor, ScenePacing
from flightsw.pipeline.latency import LatencyRecord
from flightsw.pipeline.plausibility import Plausibility
from flightsw.pipeline.producer import TileProducer
from flightsw.pipeline.quantisation import TableGuard, open_quantiser, scene_tables
from flightsw.pipeline.row_finisher import RowFinisher
from flightsw.pipeline.stages import Stages, StopSignal
from flightsw.pipeline.work import AnsweredBatch
from flightsw.products.contents import RowSink, SceneSummary
from flightsw.scene.scene import Scene, SceneMetadata, Strip
from flightsw.scene.tiling import Grid

_ANSWERS_WAITING: Final = 64
"""Batches that may wait for fusion: more than a grid row, so that finishing a row stops no card."""

_ANSWERS_GATHERED: Final = 16
"""Batches that fusion takes at a time."""

ProgressCallback = Callable[[int, int], None]
"""Called with the finished rows and the scene's height as rows finish; may block."""


def scene_grid(scene: SceneMetadata, engine: EngineInfo) -> Grid:
    """The grid of the engine's windows over what the strips of a scene show."""
    rows, columns = scene.shown
    return Grid(len(rows), len(columns), engine.tile_size, engine.stride)


def process_scene(
    scene: Scene,
    engine: Engine,
    settings: PipelineSettings,
    sinks: Sequence[RowSink] = (),
    progress: ProgressCallback | None = None,
    *,
    grid: Grid | None = None,
    probability: bool = False,
    probe: Probe | None = None,
    check: AnswerCheck | None = None,
    corrected: CorrectionCallback = lambda _: None,
    experience: SceneExperience | None = None,
    ending: Callable[[], None] = lambda: None,
    stop: StopSignal | None = None,
    governor: Governor | None = None,
) -> SceneSummary:
    """Stream a scene through an engine; every sink gets the finished rows from top to bottom.

    A producer thread slices and quantises, a consumer thread drives the engine,
    the caller's thread fuses and feeds the sinks.  The first failure of any of
    them stops the others and is raised unchanged (an engine that failed is closed);
    :class:`EmptyScene` if no pixel is valid, and
    :class:`~flightsw.errors.CorruptImage` if the digital numbers are impossible.  ``grid`` is that
    of :func:`scene_grid`, built if it is not given.  ``probability`` adds the cloud probability to
    the rows.  ``probe`` checks the engine's answers every ``settings.golden_every`` tiles and after
    the last one; ``check`` says which answers are doubtful: those tiles are computed again, and
    ``corrected`` is called with what was wrong, by the consumer's thread.  ``experience``, made for
    this scene, counts what the engine gets and answers.  ``ending`` is called
    when at most one decode is left, by the producer's thread, and must return immediately;
    ``stop`` ends the scene from another thread.  ``governor`` lets the engine rest between batches;
    without one, a scene has its own, which keeps ``settings.power_budget_w``.
    """
    _check_bands(scene.metadata, engine)
    started = perf_counter()
    path = _path_through(scene.metadata, engine.info, settings, grid, probability, experience)
    before = engine.readings()
    stages = Stages(settings.stall_seconds, stop)
    governor = governor or Governor(settings.power_budget_w)
    with (
        _leaving_nothing_in_flight(engine, stages),
        governor.scene(engine.readings) as pacing,
        stages,
        scene.strips(settings.decode_workers) as strips,
    ):
        consumer = EngineConsumer(
            engine, path.latencies, probe, settings.golden_every, check, corrected,
            lambda: pacing.wait(stages.rested),
        )  # fmt: skip
        watched = path.plausibility.watch(_announcing_end(strips, ending))
        prepared = stages.run("producer", path.producer.prepare(watched), settings.queue_depth)
        for item in stages.run(
            "consumer",
            consumer.answer(prepared),
            _ANSWERS_WAITING,
            _ANSWERS_GATHERED,
            engine.info.thread_priority,
        ):
            if isinstance(item, AnsweredBatch):
                path.take(item)
                continue
            for rows in path.finisher.finish(item):
                for sink in sinks:
                    sink.write(rows)
                if progress:
                    with stages.resting():
                        progress(rows.top + len(rows.mask), scene.metadata.height)
    path.require_sound(scene.metadata)
    return _summary(
        path,
        settings.fusion,
        seconds=perf_counter() - started,
        inference_ns=consumer.inference_ns,
        readings=(before, engine.readings()),
        pacing=pacing,
    )


@dataclass(frozen=True)
class _ScenePath:
    """What the pixels of one scene pass before and behind the engine."""

    grid: Grid
    producer: TileProducer
    finisher: RowFinisher
    latencies: LatencyRecord
    plausibility: Plausibility
    guard: TableGuard
    experience: SceneExperience | None

    def take(self, batch: AnsweredBatch) -> None:
        self.finisher.take(batch)
        if self.experience:
            self.experience.take(batch)

    def require_sound(self, scene: SceneMetadata) -> None:
        self.guard.require_unchanged()
        if not self.finisher.tally.valid_pixels:
            raise _empty(scene)


def _path_through(
    scene: SceneMetadata,
    engine: EngineInfo,
    settings: PipelineSettings,
    grid: Grid | None,
    probability: bool,
    experience: SceneExperience | None,
) -> _ScenePath:
    grid = grid or scene_grid(scene, engine)
    tables = scene_tables(scene, engine)
    guard = TableGuard(tables)
    latencies = LatencyRecord()
    producer = TileProducer(
        grid,
        engine,
        open_quantiser(tables, settings.device),
        latencies,
        zero_is_measured=scene.zero_is_measured,
        sample_every=SAMPLE_EVERY if experience else 0,
    )
    fusion = MaskFusion(
        grid,
        engine,
        settings.fusion,
        threshold=settings.threshold_percent,
        probability=probability,
    )
    radius = settings.buffer_m / scene.ground_sample_distance
    dilation = RowDilation(grid.height, radius) if radius else None
    cut = AreaRows(scene) if scene.cut else None
    finisher = RowFinisher(grid, fusion, engine, latencies, dilation, cut)
    return _ScenePath(grid, producer, finisher, latencies, Plausibility(scene), guard, experience)


def _announcing_end(strips: Iterator[Strip], ending: Callable[[], None]) -> Iterator[Strip]:
    announced = False
    for strip in strips:
        if not announced and strip.decodes_after <= 1:
            announced = True
            ending()
        yield strip


@contextmanager
def _leaving_nothing_in_flight(engine: Engine, stages: Stages) -> Iterator[None]:
    """An interrupted scene leaves batches in the card; the next scene must not get them.

    An engine that failed, or still holds a thread, is closed instead.
    """
    try:
        yield
    except BaseException as error:
        with suppress(EngineError):  # a card that failed reports it at the next call
            if isinstance(error, InferenceFailed) or not stages.ended:
                engine.close()
            else:
                deque(engine.flush(), maxlen=0)
        raise


def _empty(scene: SceneMetadata) -> EmptyScene:
    if scene.cut and scene.cut.polygons:
        cause = "has no valid pixel whose centre is in the area"
        return EmptyScene(scene.name, cause, "Give a larger area, or another scene")
    cause = "has no valid pixel: all are no data (DN 0)"
    return EmptyScene(scene.name, cause, "Choose another scene")


def _check_bands(scene: SceneMetadata, engine: Engine) -> None:
    if scene.bands != engine.info.bands:
        raise EngineUnavailable(
            engine.info.name,
            f"takes the bands {' '.join(engine.info.bands)}, not {' '.join(scene.bands)}",
            "Open the scene with the bands of the engine",
        )


def _summary(
    path: _ScenePath,
    fusion: Fusion,
    *,
    seconds: float,
    inference_ns: int,
    readings: tuple[CardReadings | None, CardReadings | None],
    pacing: ScenePacing,
) -> SceneSummary:
    tally = path.finisher.tally
    before, after = readings
    busy_share, energy, temperature = None, None, None
    if before and after:
        if inference_ns and before.busy_ns is not None and after.busy_ns is not None:
            busy_share = (after.busy_ns - before.busy_ns) / inference_ns
        temperature = after.temperature_celsius
        if before.energy_joules is not None and after.energy_joules is not None:
            energy = after.energy_joules - before.energy_joules
    return SceneSummary(
        valid_pixels=tally.valid_pixels,
        no_data_pixels=tally.no_data_pixels,
        pixels_by_class=tally.pixels_by_class(),
        tiles=path.grid.rows * path.grid.columns,
        tiles_without_data=tally.tiles_without_data,
        fusion=fusion,
        seconds=seconds,
        inference_seconds=inference_ns / 1e9,
        stages=path.latencies.timings(),
        card_busy_share=busy_share,
        energy_joules=energy,
        temperature_celsius=temperature,
        paused_seconds=pacing.paused_seconds,
        remarks=(
            *path.plausibility.remarks(path.finisher.valid_pixels_shown),
            *pacing.remarks,
        ),
        experience=path.experience.found() if path.experience else None,
    )
