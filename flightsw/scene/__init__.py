"""Sentinel-2 products on disk as scenes."""

from __future__ import annotations

import re
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Final

from flightsw import sentinel_2
from flightsw.config import NOTHING_ASSUMED, SceneSettings
from flightsw.errors import SceneNotFound, UsageError
from flightsw.host.location import Location, location_of, shown, suffix_of
from flightsw.scene import geotiff, safe, zipped
from flightsw.scene.gpu_jp2 import Decoder
from flightsw.scene.scene import GivenMetadata
from flightsw.scene.stored_values import checked_offset
from flightsw.scene.strips import StripScene
from telecommands.failure import reason_of

GROUND_SAMPLE_DISTANCES: Final = (10, 20, 40)
"""Metres a pixel that can be processed."""

FIRST_LOOK_DISTANCE: Final = 80
"""Metres a pixel of a first look, which :func:`open_scene` accepts as well."""

_EXPECTED: Final = (
    "Expected a SAFE product: a folder X.SAFE, a folder with one X.SAFE in it, or a folder with "
    "GRANULE in it; its X.SAFE.zip; a tile's folder with R10m/B02.jp2 or B02.jp2; a GeoTIFF, or a "
    "folder of GeoTIFFs; or a STAC item (.json, or its address)"
)


def open_scene(
    path: str | PathLike[str],
    bands: tuple[str, ...] = ("B02", "B03", "B04", "B08"),
    ground_sample_distance: int = 10,
    offset: float | None = None,
    decoder: Decoder = "auto",
    *,
    scale: float | None = None,
    nodata: float | None = None,
    panels: bool = False,
    file_bands: tuple[str, ...] = (),
    tile: str = "",
    assumed: SceneSettings = NOTHING_ASSUMED,
    within: Path | None = None,
    reflectance_step: float | None = None,
    copies: Path | None = None,
) -> StripScene:
    """Open the product at ``path``: metadata and file structure are checked, nothing is decoded.

    ``path`` may also be the address of a STAC item or a GeoTIFF (``https://…``, or ``file://…``).
    ``bands`` is the order of the strips' first axis.  ``ground_sample_distance``
    is 10, 20 or 40 metres.  ``offset``, an integer from -10000 to 0 added to
    every DN, replaces the product's own.  With ``scale``, above 0 up to 1 and only for GeoTIFFs,
    reflectance = value * ``scale`` + ``offset``, which is then from -1 to 0.  ``nodata`` is the
    value of a GeoTIFF that has no data; NaN always has none.  ``decoder`` decodes JPEG 2000; see
    :func:`~flightsw.scene.gpu_jp2.choose_decoder`.  With ``panels`` a wide scene is read in
    panels of about 2,048 columns, which takes less memory; otherwise in one panel.
    ``file_bands`` names the bands of a GeoTIFF in the file's order, ``tile`` one of a product with
    several tiles, and ``assumed`` is for what neither the arguments nor the files say.  With
    ``within``, only files below that folder are opened, and none on the network.
    ``reflectance_step`` is one step of the network's input: JPEG 2000 is then decoded without the
    bit-planes below it, None decodes exactly.  ``copies`` is a folder of lossless copies of bands
    (:mod:`flightsw.scene.band_copy`), which are made of and read instead of JPEG 2000 files that
    have checksums and are decoded exactly.  Raises :class:`~flightsw.errors.UsageError` or
    :class:`~flightsw.errors.SceneError`.
    """
    if ground_sample_distance not in (*GROUND_SAMPLE_DISTANCES, FIRST_LOOK_DISTANCE):
        cause = f"cannot be {ground_sample_distance} m"
        raise UsageError("the ground sample distance", cause, "Give 10, 20 or 40")
    if not bands or len(set(bands)) < len(bands) or not set(bands) <= set(sentinel_2.BANDS):
        cause = f"must be different bands of Sentinel-2, got ({', '.join(bands)})"
        raise UsageError("the bands", cause, "Give names such as B02")
    tile = re.sub(r"^(?=\d)", "T", tile.upper())
    if scale is not None and not 0 < scale <= 1:  # not for NaN
        cause = f"must be above 0 and at most 1, got {scale:g}"
        raise UsageError("the scale", cause, "Give the scale that makes values reflectance")
    if offset is not None:
        offset = checked_offset(offset, scale)
    given = GivenMetadata(
        offset, scale, nodata, file_bands, tile, assumed, within, reflectance_step, copies
    )
    location = location_of(path)
    if isinstance(location, str):
        return _open_remote(location, bands, ground_sample_distance, given, panels=panels)
    try:
        path = location.resolve()
        str(path).encode()  # OpenJPEG and GDAL take names in UTF-8
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise SceneNotFound(
            ascii(str(path)), f"is not a usable path ({reason_of(error)})", _EXPECTED
        ) from error
    try:
        if is_folder and (root := safe.find_product(path)):
            refuse_raster_values(path, given)
            return safe.open_product(
                root, bands, ground_sample_distance, given, decoder, panels=panels
            )
        if is_file and zipped.is_zipped(path):
            refuse_raster_values(path, given)
            unpacked = zipped.unpack(path, bands, tile)
            scene = safe.open_product(
                unpacked.root, bands, ground_sample_distance, given, decoder, panels=panels
            )
            return replace(scene, held=unpacked)
        if is_file and path.suffix.lower() in (".json", ".geojson"):
            _refuse_band_names(path, given)
            return geotiff.open_item(path, bands, ground_sample_distance, given, panels=panels)
        if files := geotiff.find_files(path) if is_folder or is_file else []:
            if len(files) > 1:
                _refuse_band_names(path, given)
            return geotiff.open_geotiff(
                path, files, bands, ground_sample_distance, given, panels=panels
            )
    except OSError as error:
        raise unreadable(path, error) from error
    cause = "is not a known kind of product" if is_folder or is_file else "does not exist"
    raise SceneNotFound(path, cause, _EXPECTED)


def unreadable(path: Path, error: OSError) -> SceneNotFound:
    """The error of a scene whose files, or their unpacked copies, cannot be read or made."""
    found = f"cannot be read ({error.strerror}: {error.filename})"
    return SceneNotFound(path, found, "Give the service's user permission to read it")


def _open_remote(
    location: str,
    bands: tuple[str, ...],
    ground_sample_distance: int,
    given: GivenMetadata,
    *,
    panels: bool,
) -> StripScene:
    if given.within:
        raise SceneNotFound(shown(location), "is on the network", "Give a path")
    if suffix_of(location) in (".tif", ".tiff"):
        return geotiff.open_geotiff(
            location, [location], bands, ground_sample_distance, given, panels=panels
        )
    _refuse_band_names(location, given)
    return geotiff.open_item(location, bands, ground_sample_distance, given, panels=panels)


def refuse_raster_values(path: Path, given: GivenMetadata) -> None:
    """Raise :class:`UsageError` if values are explained to a product that explains them itself."""
    _refuse_band_names(path, given)
    for name in ("scale", "nodata"):
        if getattr(given, name) is not None:
            cause = f"is a SAFE product, whose metadata give its {name}"
            raise UsageError(path, cause, f"Omit {name}", argument=name)


def _refuse_band_names(location: Location, given: GivenMetadata) -> None:
    """Raise :class:`UsageError` if bands are named of what is not one GeoTIFF."""
    if given.bands:
        cause = "is not one GeoTIFF, and names its bands itself"
        raise UsageError(shown(location), cause, "Omit bands", argument="bands")
