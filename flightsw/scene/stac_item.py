"""A STAC item as the description of a scene: which asset holds which band, and what it means."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

import msgspec

from flightsw import sentinel_2
from flightsw.errors import BadMetadata, MissingBand, SceneNotFound
from flightsw.host.disk import read_plain
from flightsw.host.location import Location, as_https, resolved, shown, suffix_of
from flightsw.host.web import fetch
from flightsw.scene.metadata import is_known_baseline, offset_of_baseline
from flightsw.scene.sensors import Sensor, band_of, sensor_of
from telecommands.failure import UNDECODABLE

_LARGEST: Final = 4 << 20  # bytes; items have some ten thousand
_COMMON_NAMES: Final = {
    "blue": "B02",
    "green": "B03",
    "red": "B04",
    "nir": "B08",
    "nir08": "B08",
    "coastal": "B01",
    "nir09": "B09",
    "cirrus": "B10",
    "swir16": "B11",
    "swir22": "B12",
}
_NARROW: Final = "nir08"  # B8A of Sentinel-2, but the only near infrared of Landsat
_NARROW_BAND: Final = "B8A"
_PICTURES: Final = {"thumbnail", "overview", "visual"}
_ITEM_CURE: Final = "Give the path or the address of one item"
_ADDRESS_CURE: Final = "Check the network, and give the address of an item, of http or https"
_CURE: Final = "Correct the item, or give the bands as GeoTIFFs"


class _Band(msgspec.Struct, frozen=True):
    """A band of ``eo:bands``, ``raster:bands``, or ``bands`` of STAC 1.1."""

    name: str | None = None
    old_common_name: str | None = msgspec.field(default=None, name="common_name")
    new_common_name: str | None = msgspec.field(default=None, name="eo:common_name")
    old_scale: float | None = msgspec.field(default=None, name="scale")
    new_scale: float | None = msgspec.field(default=None, name="raster:scale")
    old_offset: float | None = msgspec.field(default=None, name="offset")
    new_offset: float | None = msgspec.field(default=None, name="raster:offset")
    nodata: float | str | None = None

    @property
    def common_name(self) -> str | None:
        return self.new_common_name or self.old_common_name


class _Asset(msgspec.Struct, frozen=True):
    href: str
    type: str | None = None
    roles: list[str] | None = None
    gsd: float | None = None
    bands: list[_Band] | None = None
    eo_bands: list[_Band] | None = msgspec.field(default=None, name="eo:bands")
    raster_bands: list[_Band] | None = msgspec.field(default=None, name="raster:bands")
    scale: float | None = msgspec.field(default=None, name="raster:scale")
    offset: float | None = msgspec.field(default=None, name="raster:offset")
    nodata: float | str | None = None


class _Properties(msgspec.Struct, frozen=True):
    time: datetime | None = msgspec.field(default=None, name="datetime")
    start: datetime | None = msgspec.field(default=None, name="start_datetime")
    platform: str | None = None
    constellation: str | None = None
    level: str | None = msgspec.field(default=None, name="processing:level")
    product_type: str | None = msgspec.field(default=None, name="s2:product_type")
    baseline: str | None = msgspec.field(default=None, name="s2:processing_baseline")
    offset_applied: bool | None = msgspec.field(default=None, name="earthsearch:boa_offset_applied")
    grid: str | None = msgspec.field(default=None, name="grid:code")
    tile: str | None = msgspec.field(default=None, name="s2:mgrs_tile")


class _Document(msgspec.Struct, frozen=True):
    """Any STAC document; only an item has all of these."""

    type: str | None = None
    stac_version: str | None = None
    id: str | None = None


class _Item(msgspec.Struct, frozen=True):
    id: str
    assets: dict[str, _Asset]
    properties: _Properties


@dataclass(frozen=True)
class BandAsset:
    """One band: where its file is, which band of the file, and what the item says of its values.

    ``index`` counts from 1.  ``scale`` None: the item says nothing of scale and offset.
    """

    key: str
    location: Location
    index: int
    scale: float | None
    offset: float
    no_data: float | None


@dataclass(frozen=True)
class _Candidate:
    """A band of an asset: its place in it, how many there are, and which band it is."""

    key: str
    asset: _Asset
    number: int
    count: int
    band: str
    common_name: str | None

    @property
    def is_tiff(self) -> bool:
        if self.asset.type:
            return "tiff" in self.asset.type.lower()
        return suffix_of(self.asset.href) in (".tif", ".tiff")


@dataclass(frozen=True)
class StacItem:
    """What an item says of a scene; ``bands`` by the names that were requested.

    ``usual_offset`` is the DN offset of its product if neither item nor files have a scale.
    """

    name: str
    tile_id: str
    level: str
    baseline: str
    sensor: Sensor
    sensed_at: datetime | None
    bands: Mapping[str, BandAsset]
    usual_offset: int | None
    remarks: tuple[str, ...]


def read_item(location: Location, bands: Sequence[str], within: Path | None = None) -> StacItem:
    """Read the item and find these bands among its assets; no asset is opened.

    With ``within`` the assets must be files below that folder.

    Raises :class:`SceneNotFound` if it cannot be read, :class:`BadMetadata` if it is not an item,
    and :class:`MissingBand` that names the bands without an asset and the assets.
    """
    content, base = _content(location)
    item = _decoded(location, content)
    properties = item.properties
    platform, sensor = _platform(properties), sensor_of(item.id)
    usual_offset, remarks = _usual_offset(properties, platform)
    found = {}
    for band in bands:
        chosen = _chosen(location, item, band, sensor)
        found[band] = _band_asset(location, base, chosen, properties, within)
        if chosen.common_name == _NARROW and band != _NARROW_BAND and not sensor.bands:
            remarks = (*remarks, f"asset {chosen.key} (nir08) stands in for band {band}")
    return StacItem(
        name=item.id,
        tile_id=_tile_id(item),
        level=_level(properties, platform),
        baseline=properties.baseline or "",
        sensor=replace(
            sensor, is_known=sensor.is_known or bool(platform), platform=platform or sensor.platform
        ),
        sensed_at=_utc(properties.time or properties.start),
        bands=found,
        usual_offset=usual_offset,
        remarks=remarks,
    )


def _content(location: Location) -> tuple[bytes, Location]:
    """The document, and the location from which its references count."""
    try:
        if isinstance(location, Path):
            return read_plain(location, _LARGEST), location
        return fetch(as_https(location), _LARGEST)
    except OSError as error:
        cause = f"cannot be read ({shown(error.strerror or error)})"
        cure = _ITEM_CURE if isinstance(location, Path) else _ADDRESS_CURE
        raise SceneNotFound(shown(location), cause, cure) from error


def _decoded(location: Location, content: bytes) -> _Item:
    try:
        kind = msgspec.json.decode(content, type=_Document)
        if kind.type in ("Collection", "Catalog", "FeatureCollection"):
            raise BadMetadata(shown(location), f"is a {kind.type}, not a STAC item", _ITEM_CURE)
        if kind.type != "Feature" or not kind.stac_version:
            raise BadMetadata(shown(location), "is not a STAC item", _ITEM_CURE)
        return msgspec.json.decode(content, type=_Item)
    except UNDECODABLE as error:
        cause = f"is not a valid STAC item ({error})"
        raise BadMetadata(shown(location), cause, _ITEM_CURE) from error


def _chosen(location: Location, item: _Item, band: str, sensor: Sensor) -> _Candidate:
    """The asset that holds the band: the best kind of name, the fewest bands, the finest pixels."""
    found = [one for one in _candidates(item, sensor) if one.band == band]
    readable = sorted((one for one in found if one.is_tiff), key=_rank)
    if not readable:
        keys = ", ".join(sorted(item.assets)) or "none"
        cause = f"lacks an asset for band {band}; its assets are {keys}"
        if found:
            cause = f"has band {band} only as {found[0].asset.type or 'a file'} ({found[0].key})"
        cure = "Give an item with GeoTIFFs of the blue, green, red and near-infrared band"
        raise MissingBand(shown(location), cause, cure, band=band)
    best, *others = readable
    if others and _rank(others[0]) == _rank(best):
        cause = f"has two assets for band {band}: {best.key} and {others[0].key}"
        raise BadMetadata(shown(location), cause, _CURE, band=band)
    return best


def _candidates(item: _Item, sensor: Sensor) -> Iterator[_Candidate]:
    for key, asset in item.assets.items():
        if _PICTURES.intersection(asset.roles or ()):
            continue
        bands = asset.bands or asset.eo_bands or [_Band()]
        for number, one in enumerate(bands):
            common = one.common_name
            found = _COMMON_NAMES.get(common or "")
            if found is None:  # none, or one of several bands, such as rededge
                names = (one.name, key if len(bands) == 1 else None)
                found = next(filter(None, (name and band_of(name, sensor) for name in names)), None)
            if found:
                yield _Candidate(key, asset, number, len(bands), found, common)
            if common == _NARROW and not sensor.bands:
                yield _Candidate(key, asset, number, len(bands), _NARROW_BAND, common)


def _rank(one: _Candidate) -> tuple[bool, int, float]:
    return one.common_name == _NARROW, one.count, one.asset.gsd or 0.0


def _band_asset(
    location: Location,
    base: Location,
    chosen: _Candidate,
    properties: _Properties,
    within: Path | None,
) -> BandAsset:
    asset, number = chosen.asset, chosen.number
    said = [
        bands[number]
        for bands in (asset.raster_bands, asset.bands)
        if bands and number < len(bands)
    ]
    scale = _first(*(one.new_scale for one in said), *(one.old_scale for one in said), asset.scale)
    offset = _first(
        *(one.new_offset for one in said), *(one.old_offset for one in said), asset.offset
    )
    if properties.offset_applied:
        offset = 0.0
    try:
        return BandAsset(
            chosen.key,
            _inside(resolved(asset.href, base), within),
            number + 1,
            1.0 if scale is None and offset else scale,
            offset or 0.0,
            _no_data(*(one.nodata for one in said), asset.nodata),
        )
    except ValueError as error:
        cause = f"has asset {chosen.key} at {shown(asset.href)}, which {error}"
        raise BadMetadata(shown(location), cause, _CURE, asset=chosen.key) from error


def _inside(location: Location, within: Path | None) -> Location:
    """The location; raises :class:`ValueError` if it is not a file below ``within``."""
    if within is None:
        return location
    if isinstance(location, str):
        raise ValueError("is on the network, which is not used here")  # noqa: TRY004
    place = location.resolve()
    if within.resolve() not in place.parents:
        raise ValueError("leads out of the folder of scenes")
    return place


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _no_data(*values: float | str | None) -> float | None:
    """The mark of no data; STAC writes ``nan``, ``inf`` and ``-inf`` as text."""
    found = next((value for value in values if value is not None), None)
    try:
        return None if found is None else float(found)
    except ValueError:
        raise ValueError(f"marks no data as {found!r}, not as a number") from None


def _usual_offset(properties: _Properties, platform: str) -> tuple[int | None, tuple[str, ...]]:
    """The DN offset if neither item nor file has a scale, and remarks."""
    if properties.offset_applied:
        remark = "the item states that the offset has already been applied, so offset 0 is used"
        return 0, (remark,)
    if properties.baseline and platform.startswith("Sentinel-2"):
        known = is_known_baseline(properties.baseline)
        return offset_of_baseline(properties.baseline) if known else None, ()
    return None, ()


def _platform(properties: _Properties) -> str:
    """``Sentinel-2A`` for ``sentinel-2a``; other names as they are."""
    name = properties.platform or properties.constellation or ""
    unit = re.fullmatch(r"sentinel-?2-?([a-z]?)", name, re.IGNORECASE)
    return f"Sentinel-2{unit[1].upper()}" if unit else name


def _level(properties: _Properties, platform: str) -> str:
    """``L1C`` or ``L2A`` of Sentinel-2, otherwise empty."""
    if not platform.startswith("Sentinel-2"):
        return ""
    found = re.search(r"(1C|2A)$", properties.level or properties.product_type or "")
    return f"L{found[1]}" if found else ""


def _tile_id(item: _Item) -> str:
    """The tile of Sentinel-2's grid, with ``T``; otherwise empty."""
    for text in (item.properties.grid, item.properties.tile):
        if match := re.fullmatch(r"(?:MGRS-)?T?(\d{1,2}[C-X][A-Z]{2})", text or ""):
            return f"T{match[1].zfill(5)}"
    return sentinel_2.tile_id(item.id)


def _utc(time: datetime | None) -> datetime | None:
    if time is None:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)
