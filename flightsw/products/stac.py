"""The STAC item of a scene's products (STAC 1.1, JSON)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, Final

from pystac import Asset, Item, Link, MediaType, RelType
from pystac.extensions.classification import Classification, ClassificationExtension
from pystac.extensions.eo import EOExtension
from pystac.extensions.file import FileExtension
from pystac.extensions.grid import GridExtension
from pystac.extensions.projection import ProjectionExtension
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.transform import array_bounds

from flightsw.products.contents import CLEAR, CONTAMINATED, NO_DATA, SceneSummary
from flightsw.products.footprint import footprint
from flightsw.products.geotiff import CLASS_COLOURS
from flightsw.products.kinds import ProductContext
from flightsw.products.report import FileRecord
from flightsw.scene.rings import Ring
from flightsw.scene.scene import Georeference, SceneMetadata

_PROCESSING: Final = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
_SHA2_256: Final = "1220"  # multihash: function 0x12, 32 bytes
_MEDIA_TYPES: Final = {
    ".npy": "application/x-npy",
    ".tif": MediaType.GEOTIFF,
    ".jpg": MediaType.JPEG,
}
_COGS: Final = ("cog", "probability")
_TITLES: Final = {
    "mask": "Cloud mask (0 clear, 1 contaminated by cloud or shadow, 255 no data)",
    "geotiff": "Cloud mask, 1 bit a pixel, no data as internal mask",
    "cog": "Cloud mask for GIS programs (0 clear, 1 contaminated, 255 no data)",
    "classes": "Class map, 255 no data",
    "probability": "Cloud probability in per cent, 255 no data",
    "fill": "Reflectance with contaminated pixels set to the mean of the clear ones",
    "quicklook": "Quick-look of six panels",
}
_MGRS_TILE: Final = re.compile(r"T?(\d{1,2}[C-X][A-Z]{2})")


def encode_item(
    prefix: str,
    scene: SceneMetadata,
    context: ProductContext,
    summary: SceneSummary,
    files: Sequence[FileRecord],
    valid: Ring,
    source: str | None,
) -> bytes:
    """The item as JSON; asset keys are file names without ``<prefix>_``, ``_`` for the dot.

    The prefix may be the same for two dates of a tile, so the item is named after the
    scene, the engine and the unit, if it has a name.  ``scene.sensed_at`` must be known,
    because STAC items have a date.  ``valid`` is the outline of the valid pixels, (column, row);
    ``source`` the reference to the scene.
    """
    item = _item(scene, context, summary, valid)
    if source is not None:
        item.add_link(Link(RelType.DERIVED_FROM, source, title=scene.name))
    for record in files:
        key = record.name.removeprefix(f"{prefix}_").replace(".", "_")
        _add_asset(item, key, record, context)
    return json.dumps(item.to_dict(include_self_link=False), indent=2).encode() + b"\n"


def _item(
    scene: SceneMetadata, context: ProductContext, summary: SceneSummary, valid: Ring
) -> Item:
    covered = footprint(valid, scene.georeference) if scene.georeference else None
    item = Item(
        id="_".join(filter(None, (scene.name, context.tag, context.unit))),
        geometry=covered.geometry if covered else None,
        bbox=covered.bbox if covered else None,
        datetime=scene.sensed_at,
        properties={
            "processing:level": scene.level,
            "processing:software": {"flightsw": context.software_version},
            "processing:version": context.software_version,
            "processing:lineage": (
                f"Cloud mask of {scene.name} by model {context.model_id} on {context.engine}"
                f" ({context.precision}), tiles fused by {context.fusion}"
            ),
            **({} if context.unit is None else {"flightsw:unit": context.unit}),
            **_changed_mask(context),
            **_decoding(scene),
            **_experience(summary),
            **_area(scene),
        },
        stac_extensions=[_PROCESSING],
    )
    item.common_metadata.description = (
        "Cloud mask and derived products. eo:cloud_cover is the share of the valid pixels that"
        " are contaminated; cloud shadow counts as contaminated."
    )
    item.common_metadata.gsd = scene.ground_sample_distance
    item.common_metadata.created = context.created
    item.common_metadata.platform = scene.platform.lower() or None
    if scene.platform.startswith("Sentinel-2"):
        item.common_metadata.constellation = "sentinel-2"
        item.common_metadata.instruments = ["msi"]
    EOExtension.ext(item, add_if_missing=True).cloud_cover = round(
        100 * summary.contaminated_share, 2
    )
    if tile := _MGRS_TILE.fullmatch(scene.tile_id):
        GridExtension.ext(item, add_if_missing=True).code = f"MGRS-{tile[1]}"
    _describe_grid(item, scene)
    return item


def _changed_mask(context: ProductContext) -> dict[str, Any]:
    """Threshold and buffer, if the mask is not the plain answer of the model."""
    properties: dict[str, Any] = {}
    if context.threshold_percent is not None:
        properties["flightsw:threshold_percent"] = context.threshold_percent
    if context.buffer_m:
        properties["flightsw:buffer_m"] = context.buffer_m
    return properties


def _decoding(scene: SceneMetadata) -> dict[str, Any]:
    """How the bands were decoded; the largest error in DN."""
    return {"flightsw:decode": scene.decode, "flightsw:largest_error": scene.largest_error}


def _experience(summary: SceneSummary) -> dict[str, Any]:
    """How far the scene is from those that the model was measured on, if that is known."""
    if (known := summary.experience) is None:
        return {}
    return {
        "flightsw:experience_distance": round(known.distance, 3),
        "flightsw:outside_experience": known.outside,
    }


def _area(scene: SceneMetadata) -> dict[str, Any]:
    """What was asked for; the item's own geometry is that of the valid pixels."""
    if scene.cut is None:
        return {}
    if scene.cut.area.bounds:
        return {"flightsw:bounds": list(scene.cut.area.bounds)}
    return {"flightsw:area": scene.cut.area.as_geojson()}


def _describe_grid(item: Item, scene: SceneMetadata) -> None:
    projection = ProjectionExtension.ext(item, add_if_missing=True)
    shape = [scene.height, scene.width]
    if scene.georeference is None:
        projection.apply(code=None, shape=shape)
        return
    crs = CRS.from_user_input(scene.georeference.crs)
    code = crs.to_epsg()
    projection.apply(
        code=f"EPSG:{code}" if code else None,
        wkt2=None if code else crs.to_wkt(),
        shape=shape,
        transform=list(scene.georeference.transform),
        bbox=list(_grid_bounds(scene, scene.georeference)),
    )


def _grid_bounds(scene: SceneMetadata, place: Georeference) -> tuple[float, float, float, float]:
    west, south, east, north = array_bounds(scene.height, scene.width, Affine(*place.transform))
    return west, south, east, north


def _add_asset(item: Item, key: str, record: FileRecord, context: ProductContext) -> None:
    asset = Asset(
        href=f"./{record.name}",
        title=_TITLES[record.product],
        media_type=_media_type(record),
        roles=["thumbnail", "overview"] if record.product == "quicklook" else ["data"],
        extra_fields=_pixels(record.product),
    )
    item.add_asset(key, asset)
    FileExtension.ext(asset, add_if_missing=True).apply(
        checksum=_SHA2_256 + record.sha256, size=record.bytes
    )
    if classes := _classes(record.product, context):
        ClassificationExtension.ext(asset, add_if_missing=True).classes = classes


def _media_type(record: FileRecord) -> str:
    return MediaType.COG if record.product in _COGS else _MEDIA_TYPES[PurePath(record.name).suffix]


def _pixels(product: str) -> dict[str, Any]:
    """Common metadata of STAC 1.1 for the values of an asset."""
    if product in ("mask", "cog", "classes"):
        return {"data_type": "uint8", "nodata": NO_DATA}
    if product == "probability":
        return {"data_type": "uint8", "nodata": NO_DATA, "unit": "%"}
    if product == "geotiff":
        return {"data_type": "other", "description": "one bit a pixel"}
    if product == "fill":
        return {"data_type": "float16", "nodata": 0, "unit": "1"}
    return {}


def _classes(product: str, context: ProductContext) -> list[Classification]:
    names = {
        "mask": {CLEAR: "clear", CONTAMINATED: "contaminated", NO_DATA: "no data"},
        "cog": {CLEAR: "clear", CONTAMINATED: "contaminated", NO_DATA: "no data"},
        "geotiff": {CLEAR: "clear", CONTAMINATED: "contaminated"},
        "classes": {**dict(enumerate(context.classes)), NO_DATA: "no data"},
    }
    return [
        Classification.create(
            value=value,
            name=name.replace(" ", "_"),
            description=name,
            color_hint=_hexadecimal(value),
        )
        for value, name in names.get(product, {}).items()
    ]


def _hexadecimal(value: int) -> str | None:
    if value >= len(CLASS_COLOURS):
        return None
    return "{:02X}{:02X}{:02X}".format(*CLASS_COLOURS[value])
