"""What the service and the process that reads a scene say to each other.

The service believes nothing of what a decoder answers: each answer is of one of these types, and
:func:`check_scene` states what a scene can be.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from flightsw.config import SceneSettings
from flightsw.errors import FlightError, MemoryExhausted, SceneError, UsageError, rebuilt
from flightsw.scene.ahead import SceneRecipe
from flightsw.scene.area import AreaOfInterest
from flightsw.scene.cutting import WindowReach
from flightsw.scene.scene import SceneMetadata

_LARGEST_SIDE: Final = 1 << 20  # pixels
_LARGEST_DECODE: Final = 2 << 30  # bytes: a GeoTIFF of four bands and 262,144 columns
_MOST_DECODES: Final = 1 << 16  # a scene of 10,980 x 10,980 pixels has 66
_SAMPLE_BYTES: Final = 2
_MOST_REMARKS: Final = 100
_LONGEST_TEXT: Final = 4000  # characters
_LONGEST_CRS: Final = 20_000  # characters: a long one in WKT has 5,000
_COARSEST: Final = 1000  # metres a pixel
_LARGEST_DN: Final = 65_535
_CRS: Final = re.compile(r"[A-Z]{3,9}:\w{1,20}|[A-Z_]{5,20}\[[^\x00-\x1f]*\]", re.DOTALL)
"""``EPSG:32629``, or WKT: GDAL would also take the name of a file, or an address."""
_REPORTED: Final = (SceneError, UsageError, MemoryExhausted)
"""Others would make the service change its engine, its mode, or the job's turn."""
_OWN: Final = frozenset({"self", "subject", "cause", "cure"})


class SceneOrder(msgspec.Struct, frozen=True, tag=True):
    """Open a scene: the fields of a :class:`SceneRecipe`."""

    path: str
    bands: tuple[str, ...]
    ground_sample_distance: int
    offset: int | float | None
    workers: int
    panels: bool
    scale: float | None
    nodata: int | float | None
    file_bands: tuple[str, ...]
    tile: str
    assumed: SceneSettings
    reflectance_step: float | None
    within: str | None
    area: AreaOfInterest | None
    reach: WindowReach
    unchecked: bool


class VerifyScene(msgspec.Struct, frozen=True, tag=True):
    """Compare the files of the scene with their checksums; answered with :class:`Completion`."""

    order: SceneOrder


class UnpackScene(msgspec.Struct, frozen=True, tag=True):
    """Unpack an archive into an empty folder; answered with :class:`UnpackedProduct`."""

    order: SceneOrder
    folder: str


class BeginDecode(msgspec.Struct, frozen=True, tag=True):
    """Begin to decode with this number of threads; answered with :class:`Completion`."""

    workers: int


class NextStrip(msgspec.Struct, frozen=True, tag=True):
    """The next strip: answered with :class:`Completion`, and the memory that it lies in
    unless there is none left."""


Task: TypeAlias = SceneOrder | VerifyScene | UnpackScene
Request: TypeAlias = BeginDecode | NextStrip


class OpenedScene(msgspec.Struct, frozen=True, tag=True):
    """The scene, and the rows and columns of a decode."""

    metadata: SceneMetadata
    rows: int
    columns: int


class UnpackedProduct(msgspec.Struct, frozen=True, tag=True):
    """The name of the product's folder in the folder that was given."""

    name: str


class Completion(msgspec.Struct, frozen=True, tag=True):
    """The request was carried out."""


class ErrorReport(msgspec.Struct, frozen=True, tag=True):
    """An error, by the name of its class."""

    name: str
    subject: str
    cause: str
    cure: str
    fields: dict[str, str | int | float | bool | None]


Answer: TypeAlias = OpenedScene | UnpackedProduct | Completion | ErrorReport


class DecoderStart(msgspec.Struct, frozen=True, tag=True):
    """The decoder runs; its process descriptor comes along."""


class DecoderExit(msgspec.Struct, frozen=True, tag=True):
    """How the decoder ended, as of ``waitpid``."""

    status: int


ProcessReport: TypeAlias = DecoderStart | DecoderExit


class InvalidMessage(Exception):  # noqa: N818 - caught by the caller, who knows the subject
    """Why a message cannot be used, as a clause."""


def order_of(recipe: SceneRecipe, path: Path) -> SceneOrder:
    """The order to open ``path`` as the recipe says."""
    return SceneOrder(
        path=str(path),
        bands=recipe.bands,
        ground_sample_distance=recipe.ground_sample_distance,
        offset=recipe.offset,
        workers=recipe.workers,
        panels=recipe.panels,
        scale=recipe.scale,
        nodata=recipe.nodata,
        file_bands=recipe.file_bands,
        tile=recipe.tile,
        assumed=recipe.assumed,
        reflectance_step=recipe.reflectance_step,
        within=None if recipe.within is None else str(recipe.within),
        area=recipe.area,
        reach=recipe.reach,
        unchecked=recipe.unchecked,
    )


def recipe_of(order: SceneOrder) -> SceneRecipe:
    """The recipe of an order; the CPU decodes, because a decoder has no access to the GPU."""
    fields = {name: getattr(order, name) for name in order.__struct_fields__}
    fields["path"] = Path(order.path)
    fields["within"] = None if order.within is None else Path(order.within)
    return SceneRecipe(decoder="cpu", **fields)


def report_of(error: Exception) -> ErrorReport:
    """How an error is reported."""
    if not isinstance(error, FlightError):
        return ErrorReport(type(error).__name__, "", repr(error)[:_LONGEST_TEXT], "", {})
    plain = {
        name: value
        for name, value in error.fields.items()
        if isinstance(value, str | int | float | bool | None)
    }
    subject, cause, cure = map(_sendable, (error.subject, error.cause, error.cure))
    return ErrorReport(type(error).__name__, subject, cause, cure, plain)


def error_of(report: ErrorReport) -> Exception:
    """The error that was reported, if it is of a scene; RuntimeError for all others."""
    subject, cause, cure = map(_sendable, (report.subject, report.cause, report.cure))
    fields = {name: value for name, value in report.fields.items() if name not in _OWN}
    error = rebuilt(report.name, subject, cause, cure, fields)
    if isinstance(error, _REPORTED):
        return error
    return RuntimeError(f"the decoder failed: {report.name[:_LONGEST_TEXT]}: {cause}")


def encoded(message: Task | Request | Answer | ProcessReport) -> bytes:
    """A message as bytes."""
    return msgspec.msgpack.encode(message, enc_hook=_of_range)


def decoded(data: bytes, kind: Any) -> Any:
    """The message of one of the types ``kind``; raises :class:`InvalidMessage`."""
    try:
        return msgspec.msgpack.decode(data, type=kind, dec_hook=_to_range)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise InvalidMessage(f"sent an invalid message ({error})") from error


def check_scene(opened: OpenedScene, recipe: SceneRecipe) -> OpenedScene:
    """The same, if it can be the scene of the recipe; raises :class:`InvalidMessage`."""
    wrong = next((what for what, right in _claims(opened, recipe) if not right), None)
    if wrong:
        raise InvalidMessage(f"reported a scene whose {wrong} cannot be right")
    return opened


def _claims(opened: OpenedScene, recipe: SceneRecipe) -> Iterator[tuple[str, bool]]:
    """What must hold, one after the other: later ones rely on earlier ones."""
    known = opened.metadata
    texts = (known.name, known.tile_id, known.level, known.baseline, known.platform)
    yield "names", all(len(one) <= _LONGEST_TEXT and one.isprintable() for one in texts)
    yield "name", bool(known.name)
    yield "bands", known.bands == recipe.bands
    yield "offsets", {*known.offsets} == {*known.bands}
    numbers = (*known.offsets.values(), known.quantification)
    yield "radiometry", all(map(math.isfinite, numbers)) and known.quantification > 0
    sides = (known.height, known.width, opened.rows, opened.columns)
    yield "size", all(0 < side <= _LARGEST_SIDE for side in sides)
    yield "distance", 0 < known.ground_sample_distance <= _COARSEST
    yield "remarks", len(known.remarks) <= _MOST_REMARKS
    words = (*known.remarks, known.integrity_doubt)
    yield "remarks", all(len(one) <= _LONGEST_TEXT for one in words)
    yield "substitutes", all(len(one) <= _MOST_REMARKS for one in known.substituted.values())
    yield "largest error", 0 <= known.largest_error <= _LARGEST_DN
    place = known.georeference
    yield (
        "georeference",
        place is None
        or (
            all(map(math.isfinite, place.transform))
            and len(place.crs) <= _LONGEST_CRS
            and bool(_CRS.fullmatch(place.crs))
        ),
    )
    yield "area", (known.cut.area if known.cut else None) == recipe.area
    if cut := known.cut:
        yield (
            "cut",
            all(0 <= one.start < one.stop <= _LARGEST_SIDE for one in (cut.rows, cut.columns)),
        )
        inside = (
            cut.rows.start <= cut.top
            and cut.top + known.height <= cut.rows.stop
            and cut.columns.start <= cut.left
            and cut.left + known.width <= cut.columns.stop
        )
        yield "cut", inside
        corners = [one for polygon in cut.polygons for ring in polygon for one in ring]
        yield "polygons", all(math.isfinite(one) for corner in corners for one in corner)
    rows, columns = map(len, known.shown)
    pixels = len(known.bands) * min(opened.rows, rows) * min(opened.columns, columns)
    yield "decodes", pixels * _SAMPLE_BYTES <= _LARGEST_DECODE
    yield "decodes", (rows // opened.rows + 2) * (columns // opened.columns + 2) <= _MOST_DECODES


def _of_range(value: object) -> Any:
    if isinstance(value, range) and value.step == 1:
        return [value.start, value.stop]
    raise NotImplementedError(type(value))


def _to_range(kind: Any, value: Any) -> Any:
    if kind is range and isinstance(value, list) and [*map(type, value)] == [int, int]:
        return range(*value)
    raise msgspec.ValidationError(f"Expected {kind.__name__}")


def _sendable(text: str) -> str:
    """Bounded, and without what UTF-8 cannot hold: file names may have such."""
    return text[:_LONGEST_TEXT].encode("utf-8", "replace").decode()
