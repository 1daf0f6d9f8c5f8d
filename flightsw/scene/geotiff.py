"""Scenes in GeoTIFFs, cloud-optimised or not: one file with all bands, or one file a band."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from glob import escape
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.windows import Window

from flightsw import sentinel_2
from flightsw.errors import BadMetadata, CorruptImage, MissingBand
from flightsw.host.disk import check_plain
from flightsw.scene.band_files import check_sizes, children_of, distance_remarks
from flightsw.scene.metadata import (
    LOWEST_OFFSET,
    OFFSET_CURE,
    USUAL_QUANTIFICATION,
    assumed_offset,
)
from flightsw.scene.scene import DECODED_EXACTLY, Georeference, GivenMetadata, SceneMetadata
from flightsw.scene.strips import StripScene, panel_columns, rows_at_once

_COLOURS: Final = {"blue": "B02", "green": "B03", "red": "B04", "nir": "B08"}
_NATIVE_DISTANCES: Final = (10, 20, 60)
_ROUNDING: Final = 1e-6
"""Relative: float32 is right to 6e-8, and the last of 10,980 pixels moves by a hundredth."""
_CURE: Final = "Write the file again"
_NO_CHECKSUM: Final = "a GeoTIFF has no checksum, so bit errors cannot be detected"
_LARGEST_XML: Final = 4 << 20  # bytes of a file beside the image, which GDAL reads whole
_ROWS_READ: Final = 256  # in one call, at least


@dataclass(frozen=True)
class _Facts:
    """What a file says about one of its bands."""

    path: Path
    index: int
    dtype: str
    width: int
    height: int
    block: tuple[int, int]  # rows and columns
    transform: tuple[float, ...]
    crs: str
    metric: bool
    scale: float
    offset: float
    no_data: float | None
    overviews: tuple[int, ...]


@dataclass(frozen=True)
class TiffBands:
    """Rows of some bands of one file, a :class:`~flightsw.scene.strips.StripPart`.

    ``indexes`` count from 1, as GDAL's do.  With ``overview`` the rows are those
    of that overview; otherwise every ``step``-th row and column is taken.
    """

    path: Path
    indexes: tuple[int, ...]
    bands: slice
    step: int
    overview: int | None

    def read(self, top: int, left: int, targets: Sequence[NDArray[np.uint16]]) -> None:
        """Read from row ``top`` and column ``left`` into ``targets``.

        Raises :class:`CorruptImage`.
        """
        try:
            with _open(self.path, self.overview) as file:
                self._read(file, top, left, targets)
        except (RasterioError, OSError, ValueError) as error:
            cause = f"cannot be decoded from row {top}, column {left}: {error.__cause__ or error}"
            raise CorruptImage(self.path, cause, _CURE, row=top, column=left) from error

    def _read(self, file: Any, top: int, left: int, targets: Sequence[NDArray[np.uint16]]) -> None:
        """Read whole rows of blocks: none is decoded twice, whatever GDAL's cache drops."""
        step = 1 if self.overview is not None else self.step
        unit = math.lcm(step, *(rows for rows, _ in file.block_shapes)) // step
        rows_read = -(-_ROWS_READ // unit) * unit
        bottom = top + sum(target.shape[1] for target in targets)
        end = min((left + targets[0].shape[2]) * step, file.width)
        rows = chain.from_iterable(target.swapaxes(0, 1) for target in targets)
        for first in range(top, bottom, rows_read):
            last = min(min(first + rows_read, bottom) * step, file.height)
            window = Window.from_slices((first * step, last), (left * step, end))
            fine = file.read(self.indexes, window=window)
            for values in fine[:, ::step, ::step].swapaxes(0, 1):
                next(rows)[:] = values


def find_files(path: Path) -> list[Path]:
    """The GeoTIFF itself, or the folder's GeoTIFFs by name, without hidden files."""
    files = [path] if path.is_file() else children_of(path)
    return [file for file in files if file.suffix.lower() in (".tif", ".tiff")]


def open_geotiff(
    path: Path,
    files: Sequence[Path],
    bands: tuple[str, ...],
    ground_sample_distance: int,
    given: GivenMetadata,
    *,
    panels: bool = False,
) -> StripScene:
    """Check the tags of the files; no pixel is decoded yet.  Raises ``SceneError``."""
    facts = _single_file(files[0], bands, given) if len(files) == 1 else _folder(path, files, bands)
    first = _agreeing(facts)
    distance = _distance(first)
    step, overview, remarks = _reduction(facts, distance, ground_sample_distance)
    stored = [_in_overview(one, overview) for one in facts.values()]
    stored_step = step if overview is None else 1
    size = (-(-stored[0].height // stored_step), -(-stored[0].width // stored_step))
    offsets, quantification, radiometric = _radiometry(facts, given)
    left, top, pixel = first.transform[2], first.transform[5], float(distance * step)
    metadata = SceneMetadata(
        name=path.stem if path.is_file() else path.name,
        tile_id=sentinel_2.tile_id(path.name, first.path.name),
        level="",
        baseline="",
        bands=bands,
        offsets=offsets,
        quantification=quantification,
        height=size[0],
        width=size[1],
        ground_sample_distance=distance * step,
        georeference=Georeference(first.crs, (pixel, 0.0, left, 0.0, -pixel, top)),
        sensed_at=_sensed_at(path, first.path),
        remarks=(
            *remarks,
            *radiometric,
            _NO_CHECKSUM,
            *([] if given.reflectance_step is None else [f"{DECODED_EXACTLY} they are GeoTIFFs"]),
        ),
        integrity_doubt=_NO_CHECKSUM,
    )
    heights, widths = zip(*(one.block for one in stored), strict=True)
    return StripScene(
        metadata,
        _parts(facts, step, overview),
        rows=rows_at_once(heights, stored_step) // stored_step,
        columns=panel_columns(widths, stored_step, size[1]) if panels else size[1],
    )


def _single_file(path: Path, bands: Sequence[str], given: GivenMetadata) -> dict[str, _Facts]:
    """Facts by band: as given, by the bands' descriptions, or a single band by the file's name."""
    named: dict[str, int] = {}
    with _open_checked(path) as file:
        descriptions = [(text or "").strip() for text in file.descriptions]
        if len(descriptions) == 1 and not descriptions[0]:
            descriptions = [_band_in_name(path) or ""]
        if names := given.bands or (not any(descriptions) and given.assumed.bands):
            if len(names) != file.count:
                cause = f"has {file.count} bands, but {len(names)} were named ({', '.join(names)})"
                raise BadMetadata(
                    path, cause, "Name every band, in the file's order", argument="bands"
                )
            descriptions = list(names)
        for index, text in enumerate(descriptions, start=1):
            if band := _band_of(text):
                if band in named:
                    raise BadMetadata(path, f"describes two bands as {band}", _CURE, band=band)
                named[band] = index
        for band in bands:
            if band not in named:
                cause = f"lacks band {band}; its bands are described as ({', '.join(descriptions)})"
                cure = "Describe the bands as B02, B03, … or blue, green, red, nir, or name them"
                raise MissingBand(path, cause, cure, argument="bands", band=band)
        return {band: _facts(path, file, named[band]) for band in bands}


def _folder(path: Path, files: Sequence[Path], bands: Sequence[str]) -> dict[str, _Facts]:
    found: dict[str, Path] = {}
    for file in files:
        if band := _band_in_name(file):
            if band in found:
                cause = f"has two files for band {band}: {found[band].name} and {file.name}"
                raise BadMetadata(path, cause, "Keep one of the files", band=band)
            found[band] = file
    facts = {}
    for band in bands:
        if band not in found:
            cause = (
                f"lacks band {band}; its files have {', '.join(found) or 'no band in their names'}"
            )
            raise MissingBand(path, cause, "Name its file B02.tif, …_B02.tif or blue.tif")
        with _open_checked(found[band]) as opened:
            if opened.count != 1:
                cause = f"has {opened.count} bands, not only {band}"
                raise BadMetadata(found[band], cause, "Write one file a band")
            facts[band] = _facts(found[band], opened, 1)
    return facts


def _facts(path: Path, file: Any, index: int) -> _Facts:
    crs = file.crs
    authority = crs.to_authority() if crs else None
    return _Facts(
        path=path,
        index=index,
        dtype=file.dtypes[index - 1],
        width=file.width,
        height=file.height,
        block=file.block_shapes[index - 1],
        transform=tuple(file.transform),
        crs=":".join(authority) if authority else (crs.to_wkt() if crs else ""),
        metric=bool(crs and crs.is_projected and crs.linear_units_factor[1] == 1.0),
        scale=file.scales[index - 1],
        offset=file.offsets[index - 1],
        no_data=file.nodatavals[index - 1],
        overviews=tuple(file.overviews(index)),
    )


def _agreeing(facts: Mapping[str, _Facts]) -> _Facts:
    """The first band's facts, once all bands are known to be uint16 on one grid."""
    first = next(iter(facts.values()))
    sizes = {one.path.name: (one.width, one.height) for one in facts.values()}
    check_sizes(first.path.parent, sizes, _CURE)
    for band, one in facts.items():
        if one.dtype != "uint16":
            cause = f"has {one.dtype} values in band {band}, not uint16"
            raise CorruptImage(one.path, cause, "Write digital numbers", band=band)
        if not _same_grid(one, first):
            cause = f"is not on the grid of {first.path.name}"
            raise BadMetadata(one.path, cause, "Write all bands on one grid", band=band)
        if one.no_data not in (None, 0.0):
            cause = f"marks no data as {one.no_data:g}"
            raise BadMetadata(one.path, cause, "Write no data as 0", band=band)
    return first


def _same_grid(one: _Facts, other: _Facts) -> bool:
    """Whether the two grids differ by rounding only."""
    tolerance = _ROUNDING * abs(other.transform[0])
    return one.crs == other.crs and np.allclose(
        one.transform, other.transform, rtol=0, atol=tolerance
    )


def _distance(facts: _Facts) -> int:
    """Metres a pixel, within float rounding; raises :class:`BadMetadata` with what is wrong."""
    a, b, _, d, e, _ = facts.transform[:6]
    if not facts.crs:
        cause = "has no coordinate system"
    elif not facts.metric:
        cause = f"is in {facts.crs[:40]}, whose unit is not the metre"
    elif max(abs(b), abs(d)) > _ROUNDING * max(abs(a), abs(e)):
        degrees = math.degrees(math.atan2(max(b, d, key=abs), abs(a)))
        cause = f"has a grid that is rotated or sheared, by {degrees:.3g} degrees"
    elif e > 0:
        cause = "has its first row in the south"
    elif found := [
        known
        for known in _NATIVE_DISTANCES
        if max(abs(a - known), abs(-e - known)) <= _ROUNDING * known
    ]:
        return found[0]
    else:
        cause = f"has pixels of {a:.9g} x {e:.9g} m"
    cure = "Warp it to a north-up grid in metres, of 10, 20 or 60 m a pixel"
    raise BadMetadata(facts.path, cause, cure)


def _reduction(
    facts: Mapping[str, _Facts], distance: int, wanted: int
) -> tuple[int, int | None, tuple[str, ...]]:
    """Step, overview level (None for the file itself), and remarks for the operator."""
    step, rest = divmod(wanted, distance)
    if step == 1 or rest or step not in (2, 4):
        return 1, None, distance_remarks(distance, wanted)
    levels = {one.overviews for one in facts.values()}
    if len(levels) == 1 and step in (factors := levels.pop()):
        return step, factors.index(step), (f"the file's own overview of {wanted} m is used",)
    return step, None, (f"no overview has {wanted} m, so one row and column in {step} is used",)


def _in_overview(facts: _Facts, overview: int | None) -> _Facts:
    """Facts with the overview's size and blocks; unchanged if ``overview`` is None."""
    if overview is None:
        return facts
    with _open_checked(facts.path, overview) as file:
        block = file.block_shapes[facts.index - 1]
        return replace(facts, height=file.height, width=file.width, block=block)


def _radiometry(
    facts: Mapping[str, _Facts], given: GivenMetadata
) -> tuple[dict[str, int], float, tuple[str, ...]]:
    """DN offsets and quantification value from GDAL's scale and offset tags."""
    scale, *others = (one.scale for one in facts.values())
    path = next(iter(facts.values())).path
    if not 0 < scale <= 1 or any(abs(one - scale) > _ROUNDING * scale for one in others):
        found = ", ".join(map(str, dict.fromkeys((scale, *others))))
        cause = f"has scale tags that do not give reflectance ({found})"
        raise BadMetadata(path, cause, _CURE)
    untagged = scale == 1.0  # GDAL's value for a file without the tag
    quantification = USUAL_QUANTIFICATION if untagged else _without_rounding(1 / scale)
    if given.offset is not None:
        remark = f"offset {given.offset} was given and replaces the file's"
        return dict.fromkeys(facts, given.offset), quantification, (remark,)
    if untagged and (offset := given.assumed.offset) is not None:
        return dict.fromkeys(facts, offset), quantification, (assumed_offset(offset),)
    if untagged:
        cause = "has no scale and offset tags, so its DN offset is unknown"
        raise BadMetadata(path, cause, OFFSET_CURE, argument="offset")
    offsets = {}
    for band, one in facts.items():
        value = _without_rounding(one.offset * quantification)
        if not (LOWEST_OFFSET <= value <= 0 and value.is_integer()):  # not for NaN
            cause = f"has an offset tag of {one.offset:g} for band {band}, which is {value:g} DN"
            raise BadMetadata(one.path, cause, OFFSET_CURE, argument="offset", band=band)
        offsets[band] = int(value)
    return offsets, quantification, ()


def _without_rounding(value: float) -> float:
    """The whole number that a float32 tag, or a quotient, stands for; otherwise six decimals."""
    if math.isfinite(value) and abs(value - round(value)) <= _ROUNDING * max(1.0, abs(value)):
        return float(round(value))
    return round(value, 6)


def _parts(facts: Mapping[str, _Facts], step: int, overview: int | None) -> tuple[TiffBands, ...]:
    """One part a file, so that blocks of several bands are read once."""
    everything = list(facts.values())
    if len({one.path for one in everything}) == 1:
        indexes = tuple(one.index for one in everything)
        return (TiffBands(everything[0].path, indexes, slice(0, len(facts)), step, overview),)
    return tuple(
        TiffBands(one.path, (one.index,), slice(number, number + 1), step, overview)
        for number, one in enumerate(everything)
    )


def _open(path: Path, overview: int | None = None) -> Any:
    options = {} if overview is None else {"overview_level": overview}
    return rasterio.open(path, driver="GTiff", **options)


def _open_checked(path: Path, overview: int | None = None) -> Any:
    _check_plain(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # reported below
            file = _open(path, overview)
    except (RasterioIOError, OSError, ValueError) as error:
        raise CorruptImage(path, f"is not a readable GeoTIFF: {error}", _CURE) from error
    if file.transform.is_identity:
        file.close()
        raise BadMetadata(path, "has no georeference", "Write it with its grid")
    return file


def _check_plain(path: Path) -> None:
    """GDAL opens the file, and those beside it whose names begin alike, such as ``.aux.xml``."""
    beside = (one for one in path.parent.glob(f"{escape(path.stem)}*") if one.exists())
    for file in (path, *(one for one in beside if not one.is_dir())):
        try:
            check_plain(file)
            if file.suffix.lower() == ".xml" and file.stat().st_size > _LARGEST_XML:
                raise CorruptImage(file, f"is larger than {_LARGEST_XML} bytes", _CURE)
        except OSError as error:
            raise CorruptImage(file, f"cannot be read ({error.strerror})", _CURE) from error


def _band_of(text: str) -> str | None:
    match = re.fullmatch(r"B0?(\d{1,2}|8A)", text, re.IGNORECASE)
    return f"B{match[1].upper().zfill(2)}" if match else _COLOURS.get(text.lower())


def _band_in_name(path: Path) -> str | None:
    """``B02.tif``, ``…_B02_10m.tif``, ``HLS.….B02.tif``, ``blue.tif``, ``…_blue.tif``."""
    match = re.search(r"(?:^|[_.-])([A-Z]+\d{0,2}A?)(?:_\d\dm)?$", path.stem, re.IGNORECASE)
    return _band_of(match[1]) if match else None


def _sensed_at(*paths: Path) -> datetime | None:
    """The time in a file's name: ``_20221005T115411_``, or HLS's ``.2022278T115411.``."""
    for path in paths:
        for day, time in re.findall(r"(?<![^_.-])(\d{7,8})T(\d{6})(?![^_.-])", path.stem):
            with suppress(ValueError):
                form = "%Y%m%d%H%M%S" if len(day) == 8 else "%Y%j%H%M%S"
                return datetime.strptime(day + time, form).replace(tzinfo=timezone.utc)
    return None
