"""The processing chain of one process: model, engine, scene, pipeline, products."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import cv2
import msgspec

from flightsw import __version__
from flightsw.config import Settings
from flightsw.engines.dimc import DimcEngine, open_dimc_engine
from flightsw.engines.engine import CardReadings, EngineInfo
from flightsw.model.golden import GoldenReport, check_golden_tiles
from flightsw.model.package import ModelPackage, load_package
from flightsw.pipeline import process_scene
from flightsw.pipeline.fusion import Fusion
from flightsw.pipeline.process import Progress
from flightsw.pipeline.stages import StopSignal
from flightsw.products.contents import RowSink, SceneSummary
from flightsw.products.kinds import DEFAULT_PRODUCTS, ProductContext
from flightsw.products.product_set import ProductSet, PublishedProducts
from flightsw.scene import open_scene
from flightsw.scene.scene import SceneMetadata
from flightsw.tiling import Grid

_SWITCH_SECONDS: Final = 0.0005


@dataclass(frozen=True)
class SceneRequest:
    """One scene to process: where it is, where its products go, and which are wanted.

    ``fusion`` None leaves it to the settings.
    """

    scene: Path
    out: Path
    products: frozenset[str] = field(default=DEFAULT_PRODUCTS)
    ground_sample_distance: int = 10
    offset: int | None = None
    fusion: Fusion | None = None


@dataclass(frozen=True)
class ProcessedScene:
    """A scene's metadata, its figures, and its products on disk."""

    scene: SceneMetadata
    summary: SceneSummary
    products: PublishedProducts


class ProcessingChain:
    """A verified model package and an open engine, ready for one scene after the other."""

    def __init__(self, package: ModelPackage, engine: DimcEngine, settings: Settings) -> None:
        self._package = package
        self._engine = engine
        self._settings = settings

    @property
    def info(self) -> EngineInfo:
        """The engine that is open."""
        return self._engine.info

    @property
    def readings(self) -> CardReadings | None:
        """What the card tells of itself."""
        return self._engine.readings()

    def grid(self, scene: SceneMetadata) -> Grid:
        """The windows that a scene is cut into."""
        return Grid(scene.height, scene.width, self._engine.info.tile_size, self._package.stride)

    def process(
        self,
        request: SceneRequest,
        progress: Progress | None = None,
        *,
        begun: Callable[[SceneMetadata], Sequence[RowSink]] = lambda _: (),
        stop: StopSignal | None = None,
    ) -> ProcessedScene:
        """Process one scene from disk to products; on any error OUT is left as it was.

        ``begun`` is told the scene's metadata before room is looked for on the disk, and may give
        further sinks for its rows; ``stop``
        ends the scene from another thread.  Raises the :class:`~flightsw.errors.FlightError` of
        the room that failed.
        """
        pipeline = self._settings.pipeline
        if request.fusion:
            pipeline = msgspec.structs.replace(pipeline, fusion=request.fusion)
        scene = open_scene(
            request.scene,
            bands=self._package.bands,
            ground_sample_distance=request.ground_sample_distance,
            offset=request.offset,
        )
        context = self._context(pipeline.fusion)
        sinks = begun(scene.metadata)
        with ProductSet(request.out, request.products, scene.metadata, context) as products:
            summary = process_scene(
                scene,
                self._engine,
                pipeline,
                [products, *sinks],
                progress,
                stride=self._package.stride,
                stop=stop,
            )
            published = products.publish(summary)
        return ProcessedScene(scene.metadata, summary, published)

    def self_test(self) -> GoldenReport:
        """Run the package's golden tiles through the engine."""
        return check_golden_tiles(self._engine, self._package)

    def _context(self, fusion: Fusion) -> ProductContext:
        return ProductContext(
            tag=self._engine.info.tag,
            engine=self._engine.info.name,
            device=self._engine.info.device,
            precision=self._engine.info.precision,
            model_id=self._package.model_id,
            classes=self._package.classes,
            fusion=fusion,
            software_version=__version__,
        )


@contextmanager
def open_chain(settings: Settings) -> Iterator[ProcessingChain]:
    """Load the model package, open the engine, and close it at the end.

    Tunes the whole process, see :func:`tune_interpreter`.
    """
    tune_interpreter()
    package = load_package(settings.model)
    with open_dimc_engine(package, settings.dimc) as engine:
        yield ProcessingChain(package, engine, settings)


def tune_interpreter() -> None:
    """Keep Python out of the card's way; for the whole process.

    Threads change places every half millisecond, since the card's thread must not wait 5 ms for
    another one's Python; OpenCV starts no threads of its own; and the collector no longer walks
    through the libraries' objects, which holds every thread for 50 ms.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    cv2.setNumThreads(1)
    gc.collect()
    gc.freeze()


def return_memory() -> None:
    """Give what a scene needed back to the system; glibc keeps it otherwise."""
    with suppress(OSError, AttributeError):  # another C library does as it likes
        ctypes.CDLL("libc.so.6").malloc_trim(0)
