"""Whole tasks in one call, for programs that use flightsw as a library (docs/library.md).

Nothing here changes the process that calls it; :func:`flightsw.chain.open_chain` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from typing_extensions import Unpack

from flightsw.chain import ProcessedScene, SceneProcessor, SceneRequest, panels_help
from flightsw.config import Settings, read_settings, refuse_faults
from flightsw.engines.fallback import EngineFallback, EngineNotices
from flightsw.errors import UsageError
from flightsw.host.location import location_of, shown
from flightsw.host.memory import memory_errors
from flightsw.model.package import load_package
from flightsw.pipeline import process_scene
from flightsw.pipeline.fusion import Fusion
from flightsw.products.data_array import (
    data_array,
    data_array_like,
    is_data_array,
    require_xarray,
)
from flightsw.products.kinds import DEFAULT_PRODUCTS
from flightsw.products.mask_rows import MaskRows
from flightsw.scene.ahead import SceneRecipe, opened_in_time
from flightsw.scene.area import AreaOfInterest, area_of, area_within, read_area
from flightsw.scene.array_scene import USUAL_OFFSET, ArrayScene
from flightsw.scene.cutting import WindowReach
from flightsw.scene.integrity import require_integrity
from flightsw.scene.scene import Georeference
from flightsw.scene.stored_values import checked_offset
from telecommands.dictionary import Decode, EngineName

if TYPE_CHECKING:
    from xarray import Dataset


def load_settings(path: str | PathLike[str] | None = None) -> Settings:
    """Read a TOML settings file (docs/settings.md); the defaults without one.

    Raises :class:`~flightsw.errors.UsageError` that names the key and what was expected.
    """
    settings = Settings() if path is None else read_settings(Path(path))
    refuse_faults(settings)
    return settings


def process(
    scene: str | PathLike[str] | ArrayScene,
    out: str | PathLike[str],
    *,
    products: Iterable[str] = DEFAULT_PRODUCTS,
    engine: EngineName | Literal["auto"] = "auto",
    settings: Settings | None = None,
    ground_sample_distance: int | None = None,
    offset: float | None = None,
    scale: float | None = None,
    nodata: float | None = None,
    file_bands: Sequence[str] = (),
    tile: str = "",
    area: Any = None,
    bounds: Sequence[float] | None = None,
    fusion: Fusion | None = None,
    decode: Decode | None = None,
    stop_above: float | None = None,
    overwrite: bool = False,
) -> ProcessedScene:
    """Process a scene to products in the folder ``out``, all of them or none.

    ``scene`` is what :func:`~flightsw.scene.open_scene` opens, or an
    :class:`~flightsw.scene.array_scene.ArrayScene`; ``ground_sample_distance``, ``offset``,
    ``scale``, ``nodata``, ``file_bands`` and ``tile`` are for a path (see
    :func:`~flightsw.scene.open_scene`).
    ``area`` or ``bounds`` cut the scene.  ``area`` is the path of a GeoJSON file of polygons,
    GeoJSON as a mapping, or an object with ``__geo_interface__``; pixels outside the polygons are
    no data.  ``bounds`` are west, south, east and north in degrees of WGS 84; the rectangle of
    pixels around them is processed.
    ``engine`` ``auto`` takes the first of ``settings.engines`` that opens, and the next one if it
    fails.  A scene that a first look finds surely more contaminated than ``stop_above``, 0 to 1,
    ends there: ``stopped_at`` is set, and a quick-look is all that was written.  ``fusion``,
    ``decode`` and ``ground_sample_distance`` None leave it to the settings.
    The package and the engine are opened for this call and closed after it.  Products that ``out``
    already holds are an error without ``overwrite``.  Raises a
    :class:`~flightsw.errors.FlightError`; ``out`` is then as it was.
    """
    request = SceneRequest(
        scene=scene if isinstance(scene, ArrayScene) else location_of(scene),
        out=Path(out),
        products=frozenset(products),
        ground_sample_distance=ground_sample_distance,
        offset=offset,
        scale=scale,
        nodata=nodata,
        file_bands=tuple(file_bands),
        tile=tile,
        area=_area(area, bounds),
        fusion=fusion,
        decode=decode,
        stop_above=stop_above,
        overwrite=overwrite,
    )
    settings = _with(settings, engine, fusion)
    package = load_package(settings.model)
    with closing(SceneProcessor(package, settings, EngineNotices())) as processor:
        return processor.process(request)


class MaskOptions(TypedDict, total=False):
    """Keywords of :func:`mask`, :func:`probability` and :func:`dataset`."""

    offset: float | None
    scale: float | None
    nodata: float | None
    engine: EngineName | Literal["auto"]
    settings: Settings | None
    ground_sample_distance: int
    area: Any
    bounds: Sequence[float] | None
    fusion: Fusion | None


def mask(
    source: Any, bands: Sequence[str] | None = None, **options: Unpack[MaskOptions]
) -> NDArray[np.uint8]:
    """The cloud mask of a scene: uint8 ``(rows, columns)``, 0 clear, 1 contaminated, 255 no data.

    ``source`` is a path or an address (see :func:`~flightsw.scene.open_scene`, also for ``scale``
    and ``nodata``; ``bands`` names a GeoTIFF's), an
    :class:`~flightsw.scene.array_scene.ArrayScene`, or a block ``(bands, rows, columns)`` whose
    ``bands`` are named: floating-point reflectance, or integer digital numbers with their
    ``offset`` (see :class:`~flightsw.scene.array_scene.ArrayScene`).  The mask of an
    ``xarray.DataArray`` is an ``xarray.DataArray`` with its coordinates.

    Keywords: ``offset`` of a block's digital numbers, or against a product's metadata; ``engine``
    (``auto``: the first of ``settings.engines`` that opens); ``settings``;
    ``ground_sample_distance`` of the mask of a path, metres (10); ``area`` and ``bounds`` as in
    :func:`process`, the mask is then that of the rectangle around them; ``fusion`` (that of the
    settings).  Raises a :class:`~flightsw.errors.FlightError`.
    """
    rows, _ = _mask_rows(source, bands, **options)
    masked: NDArray[np.uint8] = _like(source, rows.mask(), "mask")
    return masked


def probability(
    source: Any, bands: Sequence[str] | None = None, **options: Unpack[MaskOptions]
) -> NDArray[np.uint8]:
    """The cloud probability of a scene: uint8 ``(rows, columns)``, 0 to 100 %, 255 no data.

    The arguments, the type for an ``xarray.DataArray`` and the errors are those of :func:`mask`.
    """
    rows, _ = _mask_rows(source, bands, with_probability=True, **options)
    percent: NDArray[np.uint8] = _like(source, rows.probability(), "probability")
    return percent


def dataset(
    source: Any, bands: Sequence[str] | None = None, **options: Unpack[MaskOptions]
) -> Dataset:
    """Mask and probability of a scene in one ``xarray.Dataset``, with coordinates and CRS.

    The variables ``mask`` and ``probability`` are uint8 ``(y, x)``, 255 for no data; ``x`` and
    ``y`` are the centres of the pixels, and ``spatial_ref`` is what rioxarray reads CRS and
    transform from.  The arguments and the errors are those of :func:`mask`;
    :class:`~flightsw.errors.UsageError` without xarray (the extra ``xarray``).
    """
    xarray = require_xarray()
    rows, georeference = _mask_rows(source, bands, with_probability=True, **options)
    planes = {"mask": rows.mask(), "probability": rows.probability()}
    made: Dataset = xarray.Dataset(
        {
            name: data_array_like(source, plane, name)
            if is_data_array(source)
            else data_array(plane, georeference, name)
            for name, plane in planes.items()
        }
    )
    return made


def _mask_rows(
    source: Any,
    bands: Sequence[str] | None,
    *,
    with_probability: bool = False,
    offset: float | None = None,
    scale: float | None = None,
    nodata: float | None = None,
    engine: EngineName | Literal["auto"] = "auto",
    settings: Settings | None = None,
    ground_sample_distance: int = 10,
    area: Any = None,
    bounds: Sequence[float] | None = None,
    fusion: Fusion | None = None,
) -> tuple[MaskRows, Georeference | None]:
    wanted = _area(area, bounds)
    settings = _with(settings, engine, fusion)
    package = load_package(settings.model)
    on_disk = isinstance(source, str | PathLike)
    if not on_disk and (scale, nodata) != (None, None):
        cause = "has a scale or nodata, which are for paths"
        raise UsageError("a scene in memory", cause, "Give reflectance, with NaN for no data")
    held = None if on_disk else _scene_of(source, bands, offset, ground_sample_distance)
    rows = MaskRows()
    with (
        memory_errors(held or shown(source)),
        closing(EngineFallback(settings.engines, package, settings, EngineNotices())) as engines,
    ):
        opened = engines.engine()
        info = opened.info
        recipe = SceneRecipe(
            held or location_of(source),
            bands=info.bands,
            ground_sample_distance=ground_sample_distance,
            offset=offset,
            scale=scale,
            nodata=nodata,
            decoder=settings.pipeline.decoder,
            workers=settings.pipeline.decode_workers,
            panels=panels_help((), info.classes),
            file_bands=tuple(bands or ()),
            assumed=settings.scene,
            reflectance_step=None if settings.pipeline.decode == "exact" else package.input.scale,
            area=wanted,
            reach=WindowReach(info.tile_size, info.stride, settings.pipeline.buffer_m),
        )
        scene = opened_in_time(recipe)
        require_integrity(scene.metadata, settings.pipeline.least_integrity)
        process_scene(scene, opened, settings.pipeline, [rows], probability=with_probability)
    return rows, scene.metadata.georeference


def _like(source: Any, plane: NDArray[np.uint8], name: str) -> Any:
    """The plane; for an ``xarray.DataArray``, an array with its coordinates."""
    return data_array_like(source, plane, name) if is_data_array(source) else plane


def _area(area: Any, bounds: Sequence[float] | None) -> AreaOfInterest | None:
    if area is not None and bounds is not None:
        raise UsageError("area and bounds", "exclude each other", "Give one of them")
    if bounds is not None:
        return area_within(bounds)
    if area is None:
        return None
    return read_area(area) if isinstance(area, str | PathLike) else area_of(area)


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
    source: Any, bands: Sequence[str] | None, offset: float | None, ground_sample_distance: int
) -> ArrayScene:
    if isinstance(source, ArrayScene):
        return source
    whole = None if offset is None else int(checked_offset(offset))
    block = source if hasattr(source, "dims") else np.asanyarray(source)
    if np.asanyarray(getattr(block, "values", block)).dtype.kind == "f":
        return ArrayScene.from_reflectance(
            block,
            bands,
            offset=USUAL_OFFSET if whole is None else whole,
            ground_sample_distance=ground_sample_distance,
        )
    if whole is None:
        raise UsageError(
            "the block of digital numbers",
            "needs the offset of its product",
            "Give offset=-1000 for baseline 04.00 and later, or offset=0",
        )
    return ArrayScene.from_digital_numbers(
        block, bands, offset=whole, ground_sample_distance=ground_sample_distance
    )
