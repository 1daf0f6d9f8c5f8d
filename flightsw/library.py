"""Whole tasks in one call, for programs that use flightsw as a library (docs/library.md).

Nothing here changes the process that calls it; :func:`flightsw.chain.open_chain` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from flightsw.chain import ProcessedScene, SceneProcessor, SceneRequest, panels_help
from flightsw.config import Settings, read_settings
from flightsw.engines.fallback import EngineFallback, EngineNotices
from flightsw.errors import UsageError
from flightsw.host.memory import memory_errors
from flightsw.model.package import load_package
from flightsw.pipeline import process_scene
from flightsw.pipeline.fusion import Fusion
from flightsw.products.kinds import DEFAULT_PRODUCTS
from flightsw.products.mask_rows import MaskRows
from flightsw.scene.ahead import SceneRecipe, opened_in_time
from flightsw.scene.array_scene import USUAL_OFFSET, ArrayScene
from flightsw.scene.integrity import require_integrity
from telecommands.dictionary import Decode, EngineName


def load_settings(path: str | PathLike[str] | None = None) -> Settings:
    """Read a TOML settings file (docs/settings.md); the defaults without one.

    Raises :class:`~flightsw.errors.UsageError` that names the key and what was expected.
    """
    return Settings() if path is None else read_settings(Path(path))


def process(
    scene: str | PathLike[str] | ArrayScene,
    out: str | PathLike[str],
    *,
    products: Iterable[str] = DEFAULT_PRODUCTS,
    engine: EngineName | Literal["auto"] = "auto",
    settings: Settings | None = None,
    ground_sample_distance: int | None = None,
    offset: int | None = None,
    file_bands: Sequence[str] = (),
    tile: str = "",
    fusion: Fusion | None = None,
    decode: Decode | None = None,
    overwrite: bool = False,
) -> ProcessedScene:
    """Process a scene to products in the folder ``out``, all of them or none.

    ``scene`` is what :func:`~flightsw.scene.open_scene` opens, or an
    :class:`~flightsw.scene.array_scene.ArrayScene`; ``ground_sample_distance``, ``offset``,
    ``file_bands`` and ``tile`` are for a path (see :func:`~flightsw.scene.open_scene`).
    ``engine`` ``auto`` takes the first of ``settings.engines`` that opens, and the next one if it
    fails.  ``fusion``, ``decode`` and ``ground_sample_distance`` None leave it to the settings.
    The package and the engine are opened for this call and closed after it.  Products that ``out``
    already holds are an error without ``overwrite``.  Raises a
    :class:`~flightsw.errors.FlightError`; ``out`` is then as it was.
    """
    request = SceneRequest(
        scene=scene if isinstance(scene, ArrayScene) else Path(scene),
        out=Path(out),
        products=frozenset(products),
        ground_sample_distance=ground_sample_distance,
        offset=offset,
        file_bands=tuple(file_bands),
        tile=tile,
        fusion=fusion,
        decode=decode,
        overwrite=overwrite,
    )
    settings = _with(settings, engine, fusion)
    package = load_package(settings.model)
    with closing(SceneProcessor(package, settings, EngineNotices())) as processor:
        return processor.process(request)


def mask(
    source: Any,
    bands: Sequence[str] | None = None,
    *,
    offset: int | None = None,
    engine: EngineName | Literal["auto"] = "auto",
    settings: Settings | None = None,
    ground_sample_distance: int = 10,
    fusion: Fusion | None = None,
) -> NDArray[np.uint8]:
    """The cloud mask of a scene: uint8 ``(rows, columns)``, 0 clear, 1 contaminated, 255 no data.

    ``source`` is a path (see :func:`~flightsw.scene.open_scene`; ``bands`` names a GeoTIFF's), an
    :class:`~flightsw.scene.array_scene.ArrayScene`, or a block ``(bands, rows, columns)`` whose
    ``bands`` are named: floating-point reflectance, or integer digital numbers with their
    ``offset`` (see :class:`~flightsw.scene.array_scene.ArrayScene`).  ``engine`` ``auto`` takes
    the first of ``settings.engines`` that opens.  Raises a
    :class:`~flightsw.errors.FlightError`.
    """
    settings = _with(settings, engine, fusion)
    package = load_package(settings.model)
    on_disk = isinstance(source, str | PathLike)
    held = None if on_disk else _scene_of(source, bands, offset, ground_sample_distance)
    rows = MaskRows()
    with (
        memory_errors(held or source),
        closing(EngineFallback(settings.engines, package, settings, EngineNotices())) as engines,
    ):
        opened = engines.engine()
        info = opened.info
        recipe = SceneRecipe(
            held or Path(source),
            bands=info.bands,
            ground_sample_distance=ground_sample_distance,
            offset=offset,
            decoder=settings.pipeline.decoder,
            workers=settings.pipeline.decode_workers,
            panels=panels_help((), info.classes),
            file_bands=tuple(bands or ()),
            assumed=settings.scene,
            reflectance_step=None if settings.pipeline.decode == "exact" else package.input.scale,
        )
        scene = opened_in_time(recipe)
        require_integrity(scene.metadata, settings.pipeline.least_integrity)
        process_scene(scene, opened, settings.pipeline, [rows])
    return rows.mask()


def _with(
    settings: Settings | None, engine: EngineName | Literal["auto"], fusion: Fusion | None
) -> Settings:
    settings = settings or Settings()
    if engine != "auto":
        settings = replace(settings, engines=(engine,))
    if fusion:
        settings = replace(settings, pipeline=replace(settings.pipeline, fusion=fusion))
    return settings


def _scene_of(
    source: Any, bands: Sequence[str] | None, offset: int | None, ground_sample_distance: int
) -> ArrayScene:
    if isinstance(source, ArrayScene):
        return source
    block = source if hasattr(source, "dims") else np.asanyarray(source)
    if np.asanyarray(getattr(block, "values", block)).dtype.kind == "f":
        return ArrayScene.from_reflectance(
            block,
            bands,
            offset=USUAL_OFFSET if offset is None else offset,
            ground_sample_distance=ground_sample_distance,
        )
    if offset is None:
        raise UsageError(
            "the block of digital numbers",
            "needs the offset of its product",
            "Give offset=-1000 for baseline 04.00 and later, or offset=0",
        )
    return ArrayScene.from_digital_numbers(
        block, bands, offset=offset, ground_sample_distance=ground_sample_distance
    )
