"""Composition root: the only place that knows every room."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from flightsw import __version__
from flightsw.config import Settings
from flightsw.engines.dimc import DimcEngine, open_dimc_engine
from flightsw.model.golden import GoldenReport, check_golden_tiles
from flightsw.model.package import ModelPackage, load_package
from flightsw.pipeline import process_scene
from flightsw.pipeline.process import Progress
from flightsw.products.contents import SceneSummary
from flightsw.products.kinds import DEFAULT_PRODUCTS
from flightsw.products.product_set import ProductContext, ProductSet, PublishedProducts
from flightsw.scene import open_scene
from flightsw.scene.scene import SceneMetadata


@dataclass(frozen=True)
class SceneRequest:
    """One scene to process: where it is, where its products go, and which are wanted."""

    scene: Path
    out: Path
    products: frozenset[str] = field(default=DEFAULT_PRODUCTS)
    ground_sample_distance: int = 10
    offset: int | None = None


@dataclass(frozen=True)
class ProcessedScene:
    """A scene's metadata, its figures, and its products on disk."""

    scene: SceneMetadata
    summary: SceneSummary
    products: PublishedProducts


def process(
    request: SceneRequest, settings: Settings, progress: Progress | None = None
) -> ProcessedScene:
    """Process one scene from disk to products; on any error OUT is left as it was.

    Raises :class:`~flightsw.errors.FlightError` of the room that failed.
    """
    package = load_package(settings.model)
    scene = open_scene(
        request.scene,
        bands=package.bands,
        ground_sample_distance=request.ground_sample_distance,
        offset=request.offset,
    )
    with open_dimc_engine(package, settings.dimc) as engine:
        context = _product_context(package, engine, settings)
        with ProductSet(request.out, request.products, scene.metadata, context) as products:
            summary = process_scene(scene, engine, settings.pipeline, [products], progress)
            published = products.publish(summary)
    return ProcessedScene(scene.metadata, summary, published)


def self_test(settings: Settings) -> GoldenReport:
    """Run the package's golden tiles through the engine."""
    package = load_package(settings.model)
    with open_dimc_engine(package, settings.dimc) as engine:
        return check_golden_tiles(engine, package)


def _product_context(
    package: ModelPackage, engine: DimcEngine, settings: Settings
) -> ProductContext:
    return ProductContext(
        tag=engine.info.tag,
        engine=engine.info.name,
        device=engine.info.device,
        precision=engine.info.precision,
        model_id=package.model_id,
        classes=package.classes,
        fusion=settings.pipeline.fusion,
        software=f"flightsw {__version__}",
    )
