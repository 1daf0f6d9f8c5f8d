"""Scenes in GeoTIFFs, cloud-optimised or not: one file with all bands, or one file a band."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from flightsw import sentinel_2
from flightsw.errors import BadMetadata, CorruptImage, MissingBand
from flightsw.host.location import Location, last_part_of, name_of, shown
from flightsw.scene.band_files import check_sizes, children_of, distance_remarks
from flightsw.scene.resampled_band import ResampledBand
from flightsw.scene.scene import DECODED_EXACTLY, Georeference, GivenMetadata, SceneMetadata
from flightsw.scene.sensors import UNKNOWN_SENSOR, Sensor, band_of, sensor_of
from flightsw.scene.stac_item import read_item
from flightsw.scene.stored_values import (
    ROUNDING,
    Conversion,
    StoredBand,
    ValueRule,
    described,
    rule_of,
)
from flightsw.scene.strips import StripPart, StripScene, aligned, panel_columns, rows_per_decode
from flightsw.scene.tiff_file import WRITE_CURE, cure_for, open_tiff, open_tiff_checked

_NATIVE_DISTANCES: Final = (10, 20, 60)  # of Sentinel-2
_COARSEST: Final = 1000  # metres a pixel
_NO_CHECKSUM: Final = "a GeoTIFF has no checksum, so bit errors cannot be detected"
_TIME_IN_NAME: Final = re.compile(r"(?<![^_.-])(\d{8}(?=[T_])|\d{7}(?=T))[T_](\d{6})(?![^_.-])")
_ROWS_READ: Final = 256  # in one call, at least


@dataclass(frozen=True)
class _Facts:
    """What a file says about one of its bands; ``name`` is that of the file for messages."""

    location: Location
    name: str
    index: int
    values: StoredBand
    width: int
    height: int
    block: tuple[int, int]  # rows and columns
    transform: tuple[float, ...]
    crs: str
    metric: bool
    overviews: tuple[int, ...]


@dataclass(frozen=True)
class _About:
    """What is known of a scene beside its files."""

    name: str
    tile_id: str
    sensor: Sensor
    sensed_at: datetime | None
    level: str = ""
    baseline: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class TiffBands:
    """Rows of some bands of one file, a :class:`~flightsw.scene.strips.StripPart`.

    ``indexes`` count from 1, as GDAL's do.  With ``overview`` the rows are those
    of that overview; otherwise every ``step``-th row and column is taken.  Values are digital
    numbers, unless ``conversion`` makes them so.
    """

    location: Location
    indexes: tuple[int, ...]
    bands: slice
    step: int
    overview: int | None
    conversion: Conversion | None = None

    def read(self, top: int, left: int, targets: Sequence[NDArray[np.uint16]]) -> None:
        """Read from row ``top`` and column ``left`` into ``targets``.

        Raises :class:`CorruptImage`.
        """
        try:
            with open_tiff(self.location, self.overview) as file:
                self._read(file, top, left, targets)
        except (RasterioError, OSError, ValueError) as error:
            reason = shown(error.__cause__ or error)
            cause = f"cannot be decoded from row {top}, column {left}: {reason}"
            cure = cure_for(self.location)
            raise CorruptImage(shown(self.location), cause, cure, row=top, column=left) from error

    def _read(self, file: Any, top: int, left: int, targets: Sequence[NDArray[np.uint16]]) -> None:
        """Read whole rows of blocks: none is decoded twice, whatever GDAL's cache drops."""
        step = 1 if self.overview is not None else self.step
        unit = math.lcm(step, *(rows for rows, _ in file.block_shapes)) // step
        rows_read = -(-_ROWS_READ // unit) * unit
        wanted = range(top, top + sum(target.shape[1] for target in targets))
        end = min((left + targets[0].shape[2]) * step, file.width)
        rows = chain.from_iterable(target.swapaxes(0, 1) for target in targets)
        for part in aligned(wanted, rows_read):
            last = min(part.stop * step, file.height)
            window = Window.from_slices((part.start * step, last), (left * step, end))
            fine = file.read(self.indexes, window=window)
            for values in fine[:, ::step, ::step].swapaxes(0, 1):
                convert = self.conversion
                next(rows)[:] = convert.digital_numbers(values) if convert else values


def find_files(path: Path) -> list[Path]:
    """The GeoTIFF itself, or the folder's GeoTIFFs by name, without hidden files."""
    files = [path] if path.is_file() else children_of(path)
    return [file for file in files if file.suffix.lower() in (".tif", ".tiff")]


def open_geotiff(
    location: Location,
    files: Sequence[Location],
    bands: tuple[str, ...],
    ground_sample_distance: int,
    given: GivenMetadata,
    *,
    panels: bool = False,
) -> StripScene:
    """Check the tags of the files; no pixel is decoded yet.  Raises ``SceneError``."""
    facts = (
        _single_file(files[0], bands, given) if len(files) == 1 else _folder(location, files, bands)
    )
    first = next(iter(facts.values())).location
    names = (last_part_of(location), last_part_of(first))
    about = _About(
        name=name_of(location) if location in files else last_part_of(location),
        tile_id=sentinel_2.tile_id(*names),
        sensor=sensor_of(*names),
        sensed_at=_sensed_at(location, first),
    )
    return _scene(location, about, facts, ground_sample_distance, given, panels=panels)


def open_item(
    location: Location,
    bands: tuple[str, ...],
    ground_sample_distance: int,
    given: GivenMetadata,
    *,
    panels: bool = False,
) -> StripScene:
    """Check a STAC item and the tags of its assets; no pixel is decoded yet.

    Raises ``SceneError``.
    """
    item = read_item(location, bands, given.within)
    facts = {}
    remarks = item.remarks
    for band, asset in item.bands.items():
        with open_tiff_checked(asset.location) as file:
            if asset.index > file.count:
                cause = f"has {file.count} bands, but the item describes {asset.index} or more"
                raise BadMetadata(shown(asset.location), cause, WRITE_CURE, band=band)
            found = _facts(asset.location, file, asset.index)
        values, derived = described(found.values, asset, item.usual_offset, given)
        facts[band] = replace(found, name=asset.key, values=values)
        remarks += tuple(one for one in derived if one not in remarks)
    about = _About(
        item.name,
        item.tile_id,
        item.sensor,
        item.sensed_at,
        level=item.level,
        baseline=item.baseline,
        remarks=remarks,
    )
    return _scene(location, about, facts, ground_sample_distance, given, panels=panels)


def _scene(
    location: Location,
    about: _About,
    facts: Mapping[str, _Facts],
    ground_sample_distance: int,
    given: GivenMetadata,
    *,
    panels: bool,
) -> StripScene:
    distances = {band: _distance(one) for band, one in facts.items()}
    distance = min(distances.values())
    finest = {band: one for band, one in facts.items() if distances[band] == distance}
    first = _agreeing(location, facts, distances)
    step, overview, remarks = _reduction(finest, distance, ground_sample_distance)
    stored = [_in_overview(one, overview) for one in finest.values()]
    stored_step = step if overview is None else 1
    size = (-(-stored[0].height // stored_step), -(-stored[0].width // stored_step))
    rule = rule_of({band: one.values for band, one in facts.items()}, given)
    left, top, pixel = first.transform[2], first.transform[5], float(distance * step)
    metadata = SceneMetadata(
        name=about.name,
        tile_id=about.tile_id,
        level=about.level,
        baseline=about.baseline,
        bands=tuple(facts),
        offsets=rule.offsets,
        quantification=rule.quantification,
        height=size[0],
        width=size[1],
        ground_sample_distance=distance * step,
        georeference=Georeference(first.crs, (pixel, 0.0, left, 0.0, -pixel, top)),
        sensed_at=about.sensed_at,
        platform=about.sensor.platform,
        remarks=(
            *about.remarks,
            *remarks,
            *rule.remarks,
            *_sensor_remarks(about.sensor, distance, given),
            _NO_CHECKSUM,
            *([] if given.reflectance_step is None else [f"{DECODED_EXACTLY} they are GeoTIFFs"]),
        ),
        integrity_doubt=_NO_CHECKSUM,
    )
    heights, widths = zip(*(one.block for one in stored), strict=True)
    return StripScene(
        metadata,
        tuple(_on_one_grid(facts, distances, _parts(facts, step, overview, rule), distance * step)),
        rows=rows_per_decode(heights, stored_step) // stored_step,
        columns=panel_columns(widths, stored_step, size[1]) if panels else size[1],
        fill=rule.fill,
    )


def _single_file(
    location: Location, bands: Sequence[str], given: GivenMetadata
) -> dict[str, _Facts]:
    """Facts by band: as given, by the bands' descriptions, or a single band by the file's name."""
    named: dict[str, int] = {}
    sensor, path = sensor_of(last_part_of(location)), shown(location)
    with open_tiff_checked(location) as file:
        descriptions = [(text or "").strip() for text in file.descriptions]
        if len(descriptions) == 1 and not descriptions[0]:
            descriptions, sensor = [_band_in_name(location) or ""], Sensor()
        if names := given.bands or (not any(descriptions) and given.assumed.bands):
            if len(names) != file.count:
                cause = f"has {file.count} bands, but {len(names)} were named ({', '.join(names)})"
                raise BadMetadata(
                    path, cause, "Name every band, in the file's order", argument="bands"
                )
            descriptions, sensor = list(names), Sensor()
        for index, text in enumerate(descriptions, start=1):
            if band := band_of(text, sensor):
                if band in named:
                    raise BadMetadata(path, f"describes two bands as {band}", WRITE_CURE, band=band)
                named[band] = index
        for band in bands:
            if band not in named:
                described = ", ".join(text or "-" for text in descriptions)
                known = f"described as {described}" if any(descriptions) else "not described"
                cause = f"lacks band {band}; its bands are {known}"
                cure = "Describe the bands as B02, B03, … or blue, green, red, nir, or name them"
                raise MissingBand(path, cause, cure, argument="bands", band=band)
        return {band: _facts(location, file, named[band]) for band in bands}


def _folder(path: Location, files: Sequence[Location], bands: Sequence[str]) -> dict[str, _Facts]:
    found: dict[str, Location] = {}
    for file in files:
        if band := _band_in_name(file):
            if band in found:
                names = f"{last_part_of(found[band])} and {last_part_of(file)}"
                cause = f"has two files for band {band}: {names}"
                raise BadMetadata(path, cause, "Keep one of the files", band=band)
            found[band] = file
    facts = {}
    for band in bands:
        if band not in found:
            cause = (
                f"lacks band {band}; its files have {', '.join(found) or 'no band in their names'}"
            )
            raise MissingBand(path, cause, f"Name its file {band}.tif, or …_{band}.tif")
        with open_tiff_checked(found[band]) as opened:
            if opened.count != 1:
                cause = f"has {opened.count} bands, not only {band}"
                raise BadMetadata(found[band], cause, "Write one file a band")
            facts[band] = _facts(found[band], opened, 1)
    return facts


def _facts(location: Location, file: Any, index: int) -> _Facts:
    crs = file.crs
    authority = crs.to_authority() if crs else None
    return _Facts(
        location=location,
        name=last_part_of(location),
        index=index,
        values=StoredBand(
            shown(location),
            dtype=file.dtypes[index - 1],
            scale=file.scales[index - 1],
            offset=file.offsets[index - 1],
            no_data=file.nodatavals[index - 1],
        ),
        width=file.width,
        height=file.height,
        block=file.block_shapes[index - 1],
        transform=tuple(file.transform),
        crs=":".join(authority) if authority else (crs.to_wkt() if crs else ""),
        metric=bool(crs and crs.is_projected and crs.linear_units_factor[1] == 1.0),
        overviews=tuple(file.overviews(index)),
    )


def _agreeing(
    location: Location, facts: Mapping[str, _Facts], distances: Mapping[str, int]
) -> _Facts:
    """The first of the finest bands, once all are known to cover one area from one corner on."""
    finest = min(distances.values())
    alike = {band: one for band, one in facts.items() if distances[band] == finest}
    first = next(iter(alike.values()))
    sizes = {one.name: (one.width, one.height) for one in alike.values()}
    check_sizes(shown(location), sizes, WRITE_CURE)
    for band, one in facts.items():
        covering = _size_at(first, finest, distances[band])
        if not _same_grid(one, first) or (one.width, one.height) != covering:
            cause = f"is not on the grid of {first.name}: {_difference(one, first)}"
            raise BadMetadata(shown(one.location), cause, "Write all bands on one grid", band=band)
    return first


def _size_at(first: _Facts, finest: int, distance: int) -> tuple[int, int]:
    """Columns and rows of ``distance`` metres that cover the area of the finest band."""
    return -(-first.width * finest // distance), -(-first.height * finest // distance)


def _same_grid(one: _Facts, other: _Facts) -> bool:
    """Whether the two grids have one corner and coordinate system, within rounding."""
    tolerance = ROUNDING * abs(other.transform[0])
    mine, its = ((each.transform[2], each.transform[5]) for each in (one, other))
    return one.crs == other.crs and np.allclose(mine, its, rtol=0, atol=tolerance)


def _difference(one: _Facts, other: _Facts) -> str:
    if one.crs != other.crs:
        return (
            f"it is in {one.crs[:40] or 'no coordinate system'}, not {other.crs[:40] or 'in none'}"
        )
    mine, its = one.transform, other.transform
    if (mine[0], mine[4]) != (its[0], its[4]):
        return f"its pixels are {mine[0]:.9g} x {mine[4]:.9g}, not {its[0]:.9g} x {its[4]:.9g}"
    return f"it begins at ({mine[2]:.9g}, {mine[5]:.9g}), not ({its[2]:.9g}, {its[5]:.9g})"


def _distance(facts: _Facts) -> int:
    """Metres a pixel, within float rounding; raises :class:`BadMetadata` with what is wrong."""
    a, b, _, d, e, _ = facts.transform[:6]
    if not facts.crs:
        cause = "has no coordinate system"
    elif not facts.metric:
        cause = f"is in {facts.crs[:40]}, whose unit is not the metre"
    elif max(abs(b), abs(d)) > ROUNDING * max(abs(a), abs(e)):
        degrees = math.degrees(math.atan2(max(b, d, key=abs), abs(a)))
        cause = f"has a grid that is rotated or sheared, by {degrees:.3g} degrees"
    elif e > 0:
        cause = "has its first row in the south"
    elif max(abs(a - (whole := round(a))), abs(-e - whole)) > ROUNDING * whole:
        cause = f"has pixels of {a:.9g} x {e:.9g} m"
    elif not 1 <= whole <= _COARSEST:
        cause = f"has pixels of {whole} m"
    else:
        return whole
    cure = (
        "Warp it to a north-up grid in metres, with square pixels of a whole number of metres "
        f"from 1 to {_COARSEST}"
    )
    raise BadMetadata(shown(facts.location), cause, cure)


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
    with open_tiff_checked(facts.location, overview) as file:
        block = file.block_shapes[facts.index - 1]
        return replace(facts, height=file.height, width=file.width, block=block)


def _sensor_remarks(sensor: Sensor, distance: int, given: GivenMetadata) -> tuple[str, ...]:
    """A remark if what cannot be Sentinel-2's own may be from any sensor."""
    usual = distance in _NATIVE_DISTANCES and given.scale is None
    return () if sensor.is_known or usual else (UNKNOWN_SENSOR,)


def _on_one_grid(
    facts: Mapping[str, _Facts],
    distances: Mapping[str, int],
    parts: tuple[TiffBands, ...],
    pitch: int,
) -> Iterator[StripPart]:
    """The parts that read the bands, the coarser ones on the scene's grid of ``pitch`` metres."""
    finest = min(distances.values())
    for part, band in zip(parts, facts, strict=False):  # one part alone has all bands
        coarser = distances[band] > finest
        yield _resampled(part, facts[band], distances[band], pitch) if coarser else part


def _resampled(part: TiffBands, facts: _Facts, distance: int, pitch: int) -> ResampledBand:
    step, overview, _ = _reduction({"": facts}, distance, pitch)
    stored, stored_step = _in_overview(facts, overview), step if overview is None else 1
    width = -(-stored.width // stored_step)
    return ResampledBand(
        replace(part, step=step, overview=overview),
        height=-(-stored.height // stored_step),
        width=width,
        pitch=distance * step,
        scene_pitch=pitch,
        cell=(
            rows_per_decode([stored.block[0]], stored_step) // stored_step,
            panel_columns([stored.block[1]], stored_step, width),
        ),
    )


def _parts(
    facts: Mapping[str, _Facts], step: int, overview: int | None, rule: ValueRule
) -> tuple[TiffBands, ...]:
    """One part a file, so that blocks of several bands are read once."""
    everything = list(facts.values())
    if len({one.location for one in everything}) == 1:
        indexes = tuple(one.index for one in everything)
        only = everything[0].location
        conversion = rule.conversion(shown(only), tuple(facts))
        return (TiffBands(only, indexes, slice(0, len(facts)), step, overview, conversion),)
    return tuple(
        TiffBands(
            one.location,
            (one.index,),
            slice(number, number + 1),
            step,
            overview,
            rule.conversion(shown(one.location), (band,)),
        )
        for number, (band, one) in enumerate(facts.items())
    )


def _band_in_name(location: Location) -> str | None:
    """``B02.tif``, ``…_B02_10m.tif``, ``HLS.….B02.tif``, ``blue.tif``, ``…_blue.tif``.

    ``LC08_…_SR_B5.TIF`` is B08: a sensor that numbers its bands otherwise is known by the name.
    """
    match = re.search(r"(?:^|[_.-])([A-Z]+\d{0,2}A?)(?:_\d\dm)?$", name_of(location), re.IGNORECASE)
    return band_of(match[1], sensor_of(last_part_of(location))) if match else None


def _sensed_at(*locations: Location) -> datetime | None:
    """The time in a file's name.

    ``_20221005T115411_``, HLS's ``.2022278T115411.``, PlanetScope's ``20221005_115411_``.
    """
    for location in locations:
        for day, time in _TIME_IN_NAME.findall(name_of(location)):
            with suppress(ValueError):
                form = "%Y%m%d%H%M%S" if len(day) == 8 else "%Y%j%H%M%S"
                return datetime.strptime(day + time, form).replace(tzinfo=timezone.utc)
    return None
