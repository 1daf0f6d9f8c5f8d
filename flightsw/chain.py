"""The processing chain of one process: model, engine, scene, pipeline, products."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Final

import cv2
import msgspec

from flightsw import __version__
from flightsw.config import PipelineSettings, Settings
from flightsw.engines.engine import CardReadings, EngineInfo
from flightsw.engines.fallback import EngineFallback, EngineNotices
from flightsw.engines.golden import GoldenAnswers, GoldenProbe, can_judge, check_golden_tiles
from flightsw.engines.reconnecting import ReconnectingEngine
from flightsw.errors import SceneError, UsageError
from flightsw.host.location import Location, shown
from flightsw.host.memory import memory_errors
from flightsw.host.side_thread import Listen
from flightsw.model.golden import GoldenReport
from flightsw.model.package import ModelPackage, load_package
from flightsw.pipeline import process_scene
from flightsw.pipeline.answer_check import AnswerCheck
from flightsw.pipeline.experience import SceneExperience
from flightsw.pipeline.fusion import Fusion
from flightsw.pipeline.governor import Governor
from flightsw.pipeline.process import ProgressCallback, scene_grid
from flightsw.pipeline.stages import StopSignal
from flightsw.pipeline.triage import LOOK_PRODUCTS, BrightCloud, FirstLook, Triage
from flightsw.products.contents import RowSink, SceneSummary
from flightsw.products.kinds import DEFAULT_PRODUCTS, ProductContext, draws_on_bands, holding_bands
from flightsw.products.product_set import ProductSet, PublishedProducts
from flightsw.scene import FIRST_LOOK_DISTANCE
from flightsw.scene.ahead import Readers, SceneAhead, SceneRecipe
from flightsw.scene.area import AreaOfInterest
from flightsw.scene.array_scene import ArrayScene
from flightsw.scene.cutting import WindowReach
from flightsw.scene.integrity import require_integrity
from flightsw.scene.scene import DECODED_EXACTLY, Scene, SceneMetadata
from flightsw.scene.tiling import Grid
from telecommands.dictionary import Decode, EngineName, Integrity

Begun = Callable[[Grid, int], Sequence[RowSink]]
"""Called with a grid over the mask's pixels and the bytes of the products; gives further sinks."""

_SWITCH_SECONDS: Final = 0.0005
_GDAL_CACHE_MEGABYTES: Final = 32  # its default is a twentieth of the machine's memory
_MASK_CLASSES: Final = 2
_TRUSTED_SIDE: Final = 128  # pixels, measured on cut-outs: docs/decisions/0018
_NO_LOOK: Final = "stop_above has no effect, because there is no first look:"


@dataclass(frozen=True)
class SceneRequest:
    """One scene to process: its path or address, the folder of its products, and the products.

    ``fusion``, ``threshold_percent``, ``buffer_m``, ``decode``, ``least_integrity`` and
    ``ground_sample_distance`` None: those of the settings; ``engine`` None: the engines of the
    settings.  ``offset``, ``scale``, ``nodata``, ``file_bands`` and ``tile`` are those of
    :func:`~flightsw.scene.open_scene`.  A scene in memory has its own distance, offset and bands;
    those given here are for a path.  ``within`` is the folder that all files of a scene are in,
    ``copies`` that of lossless copies of bands.
    With an ``area`` the scene is cut to it.
    ``stop_above``: the contaminated share above which the mask is not wanted; a scene that is
    surely above it ends after a first look (docs/decisions/0051).
    Without ``overwrite``, products that the folder already holds are an error.
    """

    scene: Location | ArrayScene
    out: Path
    products: frozenset[str] = field(default=DEFAULT_PRODUCTS)
    ground_sample_distance: int | None = None
    offset: float | None = None
    scale: float | None = None
    nodata: float | None = None
    file_bands: tuple[str, ...] = ()
    tile: str = ""
    area: AreaOfInterest | None = None
    fusion: Fusion | None = None
    threshold_percent: int | None = None
    buffer_m: float | None = None
    decode: Decode | None = None
    stop_above: float | None = None
    engine: EngineName | None = None
    least_integrity: Integrity | None = None
    overwrite: bool = False
    within: Path | None = None
    copies: Path | None = None


@dataclass(frozen=True)
class ProcessedScene:
    """A scene's metadata, the engine that served, the scene's figures, and its products on disk.

    ``stopped_at``: the first look after which the scene ended; None: the engine made its mask.
    """

    scene: SceneMetadata
    engine: EngineInfo
    summary: SceneSummary
    products: PublishedProducts
    stopped_at: FirstLook | None = None


@dataclass(frozen=True)
class _Calls:
    """What :meth:`SceneProcessor.process` calls while a scene runs, and what stops it."""

    progress: ProgressCallback | None
    begun: Begun
    upcoming: Callable[[], SceneRequest | None]
    looked: Callable[[FirstLook], None]
    stop: StopSignal | None


class SceneProcessor:
    """A verified model package and an engine of the chain, ready for one scene after another.

    ``readers`` open the files of scenes; None: this process.  ``governor`` lets the engine rest
    between batches; None: one that keeps the power budget of the settings.
    Used by one thread; any thread may read ``info`` and ``readings``.
    """

    def __init__(
        self,
        package: ModelPackage,
        settings: Settings,
        notices: EngineNotices,
        readers: Readers | None = None,
        governor: Governor | None = None,
    ) -> None:
        self._package = package
        self._settings = settings
        self._notices = notices
        self._engines = EngineFallback(settings.engines, package, settings, notices)
        self._readers = readers
        self._governor = governor or Governor(settings.pipeline.power_budget_w)
        self._ahead = SceneAhead()
        self._golden: GoldenAnswers | None = None
        self._sound_scenes = package.sound_scenes()

    def open(self) -> EngineInfo:
        """Open the first engine that can be; raises what :meth:`EngineFallback.engine` raises."""
        with memory_errors(self._package.model_id):
            return self._engines.engine().info

    @property
    def info(self) -> EngineInfo | None:
        """The engine that serves, if one is open."""
        engine = self._engines.opened
        return None if engine is None else engine.info

    @property
    def readings(self) -> CardReadings | None:
        """What the card measured."""
        engine = self._engines.opened
        return None if engine is None else engine.readings()

    def process(
        self,
        request: SceneRequest,
        progress: ProgressCallback | None = None,
        *,
        begun: Begun = lambda _grid, _bytes: (),
        upcoming: Callable[[], SceneRequest | None] = lambda: None,
        looked: Callable[[FirstLook], None] = lambda _look: None,
        stop: StopSignal | None = None,
    ) -> ProcessedScene:
        """Process one scene from disk to products; on any error ``request.out`` is left as it was.

        The engine may fail: :meth:`EngineFallback.serve` says what follows.  ``begun`` is called
        with a grid over the mask's pixels and the bytes that the products need, before disk space
        is checked and again each time the scene starts again, and may give further sinks for rows.
        ``upcoming`` is called when at most one decode is left: the first decodes of that scene then
        run beside it, while this scene is still computed.  ``looked`` is called with the first look
        at a scene that may end after it.  ``stop`` ends the scene from another
        thread.  Raises the :class:`~flightsw.errors.FlightError` of the part that failed.
        """
        if request.stop_above is not None and not 0 <= request.stop_above <= 1:  # not for NaN
            cause = f"must be a share from 0 to 1, got {request.stop_above:g}"
            raise UsageError("stop_above", cause, "Give 0.8 for 80 per cent")
        calls = _Calls(progress, begun, upcoming, looked, stop)
        with memory_errors(shown(request.scene)):
            return self._engines.serve(
                lambda engine: self._look_and_process(request, engine, calls), request.engine
            )

    def self_test(self) -> GoldenReport:
        """Run the package's golden tiles through the engine that serves."""
        with memory_errors(self._package.model_id):
            return check_golden_tiles(self._engines.engine(), self._package)

    def find_sound_engine(self) -> GoldenReport:
        """Find an engine that passes its golden tiles; see :meth:`EngineFallback.find_sound`."""
        with memory_errors(self._package.model_id):
            return self._engines.find_sound()

    def rest(self) -> None:
        """Close the scene that was begun ahead: none follows for now."""
        self._ahead.leave()

    def close(self) -> None:
        """Give the devices back and close the scene that was begun ahead."""
        self._ahead.close()
        self._engines.close()

    def _look_and_process(
        self, request: SceneRequest, engine: ReconnectingEngine, calls: _Calls
    ) -> ProcessedScene:
        remarks: tuple[str, ...] = ()
        if request.stop_above is not None:
            try:
                ended = self._look(request, engine, calls)
                if isinstance(ended, ProcessedScene):
                    return ended
                remarks = ended
            except SceneError as error:  # the main decode says what is wrong with the files
                remarks = (f"{_NO_LOOK} {error.sentence}",)
        return self._process(request, engine, calls, remarks)

    def _look(
        self, request: SceneRequest, engine: ReconnectingEngine, calls: _Calls
    ) -> ProcessedScene | tuple[str, ...]:
        """End the scene after a first look, or give remarks for its main decode.

        Raises :class:`~flightsw.errors.SceneError` if it cannot be looked at.
        """
        triage = self._triage(request, engine.info)
        if triage.test is None or triage.obstacle:
            return (f"{_NO_LOOK} {triage.obstacle}",)
        pipeline = _requested(self._settings.pipeline, request)
        usual = msgspec.structs.replace(pipeline, threshold_percent=None, buffer_m=0.0)
        with self._ahead.scene(triage.recipe, _listen(calls.stop)) as scene:
            known = scene.metadata
            if known.ground_sample_distance != FIRST_LOOK_DISTANCE:
                return (f"{_NO_LOOK} its files cannot be read at {FIRST_LOOK_DISTANCE} m",)
            context = self._context(engine.info, usual, request)
            product_set = self._product_set(request, LOOK_PRODUCTS, known, context)
            grid = scene_grid(known, engine.info)
            sure = BrightCloud(known, triage.test)
            sinks = calls.begun(grid, product_set.bytes_needed)
            with product_set as products:
                summary = self._stream(scene, engine, usual, [products, *sinks, sure], grid, calls)
                look = FirstLook(summary.contaminated_share, sure.least)
                calls.looked(look)
                if request.stop_above is None or look.least <= request.stop_above:
                    return ()
                triage.verify(_listen(calls.stop))
                require_integrity(known, request.least_integrity or pipeline.least_integrity)
                published = products.publish(summary)
        return ProcessedScene(known, engine.info, summary, published, look)

    def _process(
        self,
        request: SceneRequest,
        engine: ReconnectingEngine,
        calls: _Calls,
        remarks: tuple[str, ...],
    ) -> ProcessedScene:
        pipeline = _requested(self._settings.pipeline, request)

        def next_recipe() -> SceneRecipe | None:
            following = calls.upcoming()
            return None if following is None else self._first_recipe(following, engine.info)

        with self._ahead.scene(self._recipe(request, engine.info), _listen(calls.stop)) as scene:
            require_integrity(scene.metadata, request.least_integrity or pipeline.least_integrity)
            remarks = (
                *scene.metadata.remarks,
                *remarks,
                *model_mismatches(self._package, scene.metadata),
                *_exact_for(request.products, pipeline.decode),
            )
            metadata = replace(scene.metadata, remarks=remarks)
            grid = scene_grid(metadata, engine.info)
            context = self._context(engine.info, pipeline, request)
            product_set = self._product_set(request, request.products, metadata, context)
            cells = Grid(metadata.height, metadata.width, grid.tile_size, grid.stride)
            sinks = calls.begun(cells, product_set.bytes_needed)
            with product_set as products:
                summary = self._stream(
                    scene,
                    engine,
                    pipeline,
                    [products, *sinks],
                    grid,
                    calls,
                    probability="probability" in request.products,
                    experience=self._experience(engine.info),
                    ending=lambda: self._ahead.begin(next_recipe),
                )
                published = products.publish(summary)
        return ProcessedScene(metadata, engine.info, summary, published)

    def _stream(
        self,
        scene: Scene,
        engine: ReconnectingEngine,
        pipeline: PipelineSettings,
        sinks: Sequence[RowSink],
        grid: Grid,
        calls: _Calls,
        *,
        probability: bool = False,
        experience: SceneExperience | None = None,
        ending: Callable[[], None] = lambda: None,
    ) -> SceneSummary:
        """The scene through the engine, watched as every scene of this chain is."""
        return process_scene(
            scene,
            engine,
            pipeline,
            sinks,
            calls.progress,
            grid=grid,
            probability=probability,
            probe=self._probe(engine.info),
            check=self._check(engine.info, grid),
            corrected=self._notices.corrected,
            experience=experience,
            ending=ending,
            stop=calls.stop,
            governor=self._governor,
        )

    def _triage(self, request: SceneRequest, engine: EngineInfo) -> Triage:
        threshold = _requested(self._settings.pipeline, request).threshold_percent
        return Triage(self._recipe(request, engine), self._package.first_look, threshold)

    def _first_recipe(self, request: SceneRequest, engine: EngineInfo) -> SceneRecipe:
        """How the scene is opened when its turn comes: for a first look, if it gets one."""
        triage = self._triage(request, engine)
        return triage.main if request.stop_above is None or triage.obstacle else triage.recipe

    def _product_set(
        self,
        request: SceneRequest,
        products: frozenset[str],
        scene: SceneMetadata,
        context: ProductContext,
    ) -> ProductSet:
        return ProductSet(
            request.out,
            products,
            scene,
            context,
            overwrite=request.overwrite,
            names=self._settings.product_names,
        )

    def _probe(self, engine: EngineInfo) -> GoldenProbe | None:
        golden = self._golden_answers(engine)
        return None if golden is None else GoldenProbe(golden)

    def _check(self, engine: EngineInfo, grid: Grid) -> AnswerCheck | None:
        golden, checked = self._golden_answers(engine), self._settings.pipeline.check_answers
        if golden is None or checked == "off":
            return None
        return AnswerCheck(grid, engine, golden.pair_sums, every=checked == "all")

    def _experience(self, engine: EngineInfo) -> SceneExperience | None:
        if self._sound_scenes is None:
            return None
        return SceneExperience(engine, self._package.input, self._sound_scenes)

    def _golden_answers(self, engine: EngineInfo) -> GoldenAnswers | None:
        if not can_judge(engine, self._package):
            return None
        if self._golden is None or self._golden.info != engine:
            self._golden = GoldenAnswers(engine, self._package)
        return self._golden

    def _recipe(self, request: SceneRequest, engine: EngineInfo) -> SceneRecipe:
        pipeline = _requested(self._settings.pipeline, request)
        assumed = self._settings.scene
        return SceneRecipe(
            path=request.scene,
            bands=engine.bands,
            ground_sample_distance=request.ground_sample_distance or assumed.ground_sample_distance,
            offset=request.offset,
            scale=request.scale,
            nodata=request.nodata,
            decoder=pipeline.decoder,
            workers=pipeline.decode_workers,
            panels=panels_help(request.products, engine.classes),
            file_bands=request.file_bands,
            tile=request.tile,
            assumed=assumed,
            reflectance_step=(
                None
                if pipeline.decode == "exact" or holding_bands(request.products)
                else self._package.input.scale
            ),
            within=request.within,
            copies=request.copies,
            area=request.area,
            reach=WindowReach(
                engine.tile_size,
                engine.stride,
                pipeline.buffer_m if request.buffer_m is None else request.buffer_m,
            ),
            readers=None if isinstance(request.scene, ArrayScene) else self._readers,
        )

    def _context(
        self, engine: EngineInfo, pipeline: PipelineSettings, request: SceneRequest
    ) -> ProductContext:
        return ProductContext(
            tag=engine.tag,
            engine=engine.name,
            device=engine.device,
            precision=engine.precision,
            model_id=engine.model_id,
            classes=engine.classes,
            fusion=pipeline.fusion,
            software_version=__version__,
            threshold_percent=pipeline.threshold_percent,
            buffer_m=pipeline.buffer_m,
            created=datetime.now(timezone.utc),
            source=None if isinstance(request.scene, ArrayScene) else request.scene,
            unit=self._settings.service.unit,
        )


def _listen(stop: StopSignal | None) -> Listen:
    return stop.listen if stop else lambda _: None


def _requested(settings: PipelineSettings, request: SceneRequest) -> PipelineSettings:
    """The settings with what the request gives instead."""
    names = ("fusion", "threshold_percent", "buffer_m", "decode")
    given = {name: getattr(request, name) for name in names}
    changes = {name: value for name, value in given.items() if value is not None}
    return msgspec.structs.replace(settings, **changes)


def _exact_for(products: Iterable[str], decode: Decode) -> tuple[str, ...]:
    """In words, which products make the bands be decoded exactly although fast is wanted."""
    if decode == "exact" or not (holding := holding_bands(products)):
        return ()
    return (f"{DECODED_EXACTLY} products hold them ({', '.join(holding)})",)


def panels_help(products: Iterable[str], classes: Sequence[str]) -> bool:
    """Whether a scene takes less memory in panels (docs/decisions/0015).

    Not if a product uses the bands, nor if fusion holds scores of several classes: in panels it
    holds them for the rows of a whole decode, which is more than narrow decodes save.
    """
    return not draws_on_bands(products) and len(classes) <= _MASK_CLASSES


def model_mismatches(package: ModelPackage, scene: SceneMetadata) -> tuple[str, ...]:
    """In words, the properties of the scene that the model was not made for."""
    remarks = []
    if scene.level and scene.level not in package.levels:
        made_for = " and ".join(package.levels)
        remarks.append(f"the model was made for {made_for}, this scene is {scene.level}")
    if scene.platform and not scene.platform.startswith("Sentinel-2"):
        cause = f"the model was made for Sentinel-2, this scene is from {scene.platform}"
        remarks.append(f"{cause}: it is outside the model's training")
    if (distance := scene.ground_sample_distance) not in package.ground_sample_distances:
        *others, last = map(str, package.ground_sample_distances)
        made_for = " and ".join(filter(None, (", ".join(others), last)))
        remarks.append(f"the model was made for {made_for} m, this scene is at {distance} m")
    height, width = map(len, scene.shown)
    if min(height, width) < _TRUSTED_SIDE:
        cause = f"the network sees {height} x {width} pixels of ground"
        needed = f"with less than {_TRUSTED_SIDE} on a side its mask is not trustworthy"
        remarks.append(f"{cause}: {needed}")
    return tuple(remarks)


@contextmanager
def open_chain(
    settings: Settings,
    notices: EngineNotices = EngineNotices(),  # noqa: B008 - frozen
    readers: Readers | None = None,
    governor: Governor | None = None,
) -> Iterator[SceneProcessor]:
    """Load the model package, open the first engine that can be, and close it at the end.

    Tunes the whole process, see :func:`tune_interpreter`.
    """
    tune_interpreter()
    package = load_package(settings.model)
    with closing(SceneProcessor(package, settings, notices, readers, governor)) as chain:
        chain.open()
        yield chain


@lru_cache
def tune_interpreter() -> None:
    """Keep Python from delaying the card; for the whole process, once.

    Threads switch every half millisecond, since the card's thread must not wait 5 ms for another
    thread's Python; OpenCV starts no threads; GDAL caches few blocks of the files that it reads;
    and the collector no longer visits the libraries' objects, which blocks every thread for 50 ms.
    It would never free what is alive now: a chain that is opened again finds a failed scene alive.
    """
    os.environ.setdefault("GDAL_CACHEMAX", str(_GDAL_CACHE_MEGABYTES))
    sys.setswitchinterval(_SWITCH_SECONDS)
    cv2.setNumThreads(1)
    gc.collect()
    gc.freeze()
