"""The report of a scene: every figure of its processing, and what was published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from flightsw.errors import ProductError
from flightsw.products.contents import SceneSummary
from flightsw.products.kinds import ProductContext
from flightsw.scene.scene import Cut, SceneMetadata
from telecommands.dictionary import Decode, Integrity
from telecommands.failure import UNDECODABLE, reason_of

REPORT_FORMAT: Final = 1
"""Increases when a field is removed or changes its meaning, not for new fields."""


class FileRecord(msgspec.Struct, frozen=True):
    """One published file: product kind, name in the output folder, size and SHA-256 (hex)."""

    product: str
    name: str
    bytes: int
    sha256: str


class CutRecord(msgspec.Struct, frozen=True):
    """The part of a larger scene that was asked for.

    It begins at the larger scene's row ``top`` and column ``left``.  Either ``bounds`` are west,
    south, east, north in degrees, or pixels outside ``geometry``, a GeoJSON geometry, are no data.
    """

    top: int
    left: int
    geometry: dict[str, Any] | None
    bounds: tuple[float, float, float, float] | None


class SceneRecord(msgspec.Struct, frozen=True):
    """The scene, as :class:`~flightsw.scene.scene.SceneMetadata` describes it.

    ``sensed_at`` is ISO 8601; ``transform`` (a, b, c, d, e, f) and ``crs`` are
    None without a georeference.  ``cut`` is None for a whole scene.
    """

    name: str
    tile_id: str
    level: str
    baseline: str
    platform: str
    sensed_at: str | None
    bands: tuple[str, ...]
    substituted: dict[str, str]
    offsets: dict[str, float]
    quantification: float
    height: int
    width: int
    ground_sample_distance: int
    crs: str | None
    transform: tuple[float, float, float, float, float, float] | None
    remarks: tuple[str, ...]
    integrity: Integrity = "unknown"
    decode: Decode = "exact"
    largest_error: int = 0
    cut: CutRecord | None = None


class EngineRecord(msgspec.Struct, frozen=True):
    """What ran the model."""

    name: str
    tag: str
    device: str
    precision: str


class ModelRecord(msgspec.Struct, frozen=True):
    """The model: its id, and its classes in order."""

    id: str
    classes: tuple[str, ...]


class SceneReport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole report.

    ``cloud_percentage`` is contaminated (cloud and shadow) of valid pixels,
    0 to 100; ``fractions`` are shares of the valid pixels by class name, 0 to 1;
    ``valid_fraction`` is valid of all pixels.  Stage timings in ``summary`` are
    milliseconds, durations there seconds.  ``threshold_percent`` is the cloud
    probability from which a pixel is contaminated, None if the larger logit decided;
    ``buffer_m`` the buffer around contaminated pixels in metres.  ``files`` lists every
    file except the report.  ``unit`` is the name of the unit that processed the scene, None if
    it has none.
    """

    format: int
    software_version: str
    scene: SceneRecord
    engine: EngineRecord
    model: ModelRecord
    cloud_percentage: float
    fractions: dict[str, float]
    valid_fraction: float
    tiles_per_second: float
    summary: SceneSummary
    files: tuple[FileRecord, ...]
    notes: tuple[str, ...] = ()
    threshold_percent: int | None = None
    buffer_m: float = 0.0
    unit: str | None = None


def make_report(
    scene: SceneMetadata,
    context: ProductContext,
    summary: SceneSummary,
    files: Sequence[FileRecord],
    notes: Sequence[str],
) -> SceneReport:
    """Put the report together; ``notes`` say what is special about the products."""
    return SceneReport(
        format=REPORT_FORMAT,
        software_version=context.software_version,
        scene=_scene_record(scene),
        engine=EngineRecord(context.engine, context.tag, context.device, context.precision),
        model=ModelRecord(context.model_id, context.classes),
        cloud_percentage=100 * summary.contaminated_share,
        fractions=_fractions(summary.pixels_by_class, summary.valid_pixels),
        valid_fraction=summary.valid_pixels / (summary.valid_pixels + summary.no_data_pixels),
        tiles_per_second=summary.tiles_per_second,
        summary=summary,
        files=tuple(files),
        notes=tuple(notes),
        threshold_percent=context.threshold_percent,
        buffer_m=context.buffer_m,
        unit=context.unit,
    )


def encode_report(report: SceneReport) -> bytes:
    """The report as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def read_report(path: Path) -> SceneReport:
    """Read a report; raise :class:`ProductError` if it is not one, or of a newer format."""
    try:
        report = msgspec.json.decode(path.read_bytes(), type=SceneReport)
    except (OSError, *UNDECODABLE) as error:
        raise ProductError(path, f"is not a readable report ({reason_of(error)})") from error
    if report.format > REPORT_FORMAT:
        raise ProductError(
            path, f"has format {report.format}, newer than {REPORT_FORMAT}", "Update the software"
        )
    return report


def _scene_record(scene: SceneMetadata) -> SceneRecord:
    place = scene.georeference
    return SceneRecord(
        name=scene.name,
        tile_id=scene.tile_id,
        level=scene.level,
        baseline=scene.baseline,
        platform=scene.platform,
        sensed_at=scene.sensed_at.isoformat() if scene.sensed_at else None,
        bands=scene.bands,
        substituted=dict(scene.substituted),
        offsets=dict(scene.offsets),
        quantification=scene.quantification,
        height=scene.height,
        width=scene.width,
        ground_sample_distance=scene.ground_sample_distance,
        crs=place.crs if place else None,
        transform=place.transform if place else None,
        remarks=scene.remarks,
        integrity=scene.integrity,
        decode=scene.decode,
        largest_error=scene.largest_error,
        cut=_cut_record(scene.cut) if scene.cut else None,
    )


def _cut_record(cut: Cut) -> CutRecord:
    bounds = cut.area.bounds
    return CutRecord(cut.top, cut.left, None if bounds else cut.area.as_geojson(), bounds)


def _fractions(pixels: Mapping[str, int], valid: int) -> dict[str, float]:
    return {name: count / valid for name, count in pixels.items()}
