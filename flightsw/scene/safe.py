"""Sentinel-2 products in ESA's SAFE format, complete or reduced to one granule or its images.

The layout since December 2016, the layout before, and that of a tile on AWS.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from flightsw import sentinel_2
from flightsw.errors import (
    BadMetadata,
    BandSizeMismatch,
    CorruptImage,
    SceneNotFound,
)
from flightsw.scene.band_copy import CopiedBand, copied
from flightsw.scene.band_files import (
    BandFiles,
    check_sizes,
    children_of,
    choose_bands,
    distance_remarks,
)
from flightsw.scene.codestream import Codestream, inspect
from flightsw.scene.fast_jp2 import ReducedBands, reduce_bands
from flightsw.scene.gpu_jp2 import Decoder, choose_decoder
from flightsw.scene.jp2 import Jp2Band
from flightsw.scene.manifest import Manifest, read_manifest
from flightsw.scene.metadata import (
    georeference_of,
    level_of_product,
    level_of_tile,
    parse_time,
    radiometry_of_product,
    radiometry_of_tile,
    size_of_tile,
)
from flightsw.scene.resampled_band import ResampledBand
from flightsw.scene.scene import DECODED_EXACTLY, GivenMetadata, SceneMetadata
from flightsw.scene.strips import Check, StripPart, StripScene, panel_columns, rows_per_decode
from flightsw.scene.xml_document import Document

_STEPS: Final = (1, 2, 4, 8)
_CURE: Final = "Fetch the product again"
# The second forms are those of products before December 2016; AWS calls the tile's metadata.xml.
_PRODUCT_XML: Final = re.compile(r"MTD_MSIL\w+\.xml|S2[A-Z]_(?:OPER|USER)_MTD_(?:SAFL|DMP)\w+\.xml")
_TILE_XML: Final = re.compile(
    r"MTD_TL\.xml|S2[A-Z]_(?:OPER|USER)_MTD_L\w+_TL_\w+\.xml|metadata\.xml"
)


@dataclass(frozen=True)
class _Product:
    """The locations of one product's parts."""

    root: Path
    granule: Path
    product_xml: Path | None
    tile_xml: Path | None

    @property
    def images(self) -> Path:
        return self.granule if _is_aws_tile(self.granule) else self.granule / "IMG_DATA"


def find_product(path: Path) -> Path | None:
    """The folder of a product: ``path``, or the only ``.SAFE`` in it; None if neither.

    A product has a folder ``GRANULE``, or is a tile on AWS, with ``R10m/B02.jp2`` or ``B02.jp2``.
    Raises :class:`SceneNotFound` if there are several products.
    """
    if (path / "GRANULE").is_dir() or _is_aws_tile(path):
        return path
    products = [child for child in children_of(path) if child.suffix.upper() == ".SAFE"]
    if len(products) > 1:
        names = ", ".join(child.name for child in products)
        raise SceneNotFound(path, f"contains {len(products)} products: {names}", "Name one of them")
    if products and not (products[0] / "GRANULE").is_dir():
        raise SceneNotFound(products[0], "has no folder GRANULE", _CURE)
    return products[0] if products else None


def open_product(
    root: Path,
    bands: tuple[str, ...],
    ground_sample_distance: int,
    given: GivenMetadata,
    decoder: Decoder = "auto",
    *,
    panels: bool = False,
) -> StripScene:
    """Check a product's metadata and the structure of its images; no pixel is decoded yet.

    If a GPU is to decode, one tile is decoded on it and compared with the CPU's.  Raises
    :class:`~flightsw.errors.SceneError`.
    """
    product = _locate(root, given.tile)
    manifest = read_manifest(root)
    files = choose_bands(product.images, bands, ground_sample_distance)
    step = _step(files.distance, ground_sample_distance)
    images = {band: _inspect(path, manifest) for band, path in files.paths.items()}
    first = _agreeing_sizes(files, images)
    tile = manifest.document(product.tile_xml) if product.tile_xml else None
    known = manifest.document(product.product_xml) if product.product_xml else None
    level = _level(known, tile, product)
    physical = [files.physical(band) for band in bands]
    radiometry = (
        radiometry_of_product(known, level, physical, given.dn_offset)
        if known
        else radiometry_of_tile(
            tile, level, physical, given.dn_offset, root, given.assumed.dn_offset
        )
    )
    georeference = georeference_of(tile, files.distance, step) if tile else None
    checked = all(manifest.of(path) for path in files.paths.values())
    steps = {band: _step(files.distances[band], files.distance * step) for band in bands}
    exact = tuple(
        Jp2Band(files.paths[band], images[band], slice(index, index + 1), steps[band])
        for index, band in enumerate(bands)
    )
    chosen = choose_decoder(exact, decoder, checked=checked)
    decoding = ReducedBands(chosen.parts)
    if given.reflectance_step is not None and chosen.parts is not exact:
        decoding = ReducedBands(chosen.parts, (f"{DECODED_EXACTLY} the GPU decodes them",))
    elif given.reflectance_step is not None:
        input_step = given.reflectance_step * radiometry.quantification
        decoding = reduce_bands(exact, input_step, checked=checked)
    elif given.copies and chosen.parts is exact:
        keys = [checksum.digest if (checksum := manifest.of(each.path)) else "" for each in exact]
        decoding = ReducedBands(copied(given.copies, exact, keys))
    read = (*files.paths.values(), *filter(None, (product.product_xml, product.tile_xml)))
    integrity, doubt = manifest.judge(read)
    metadata = SceneMetadata(
        name=_name(product, tile),
        tile_id=sentinel_2.tile_id(product.granule.name, root.name, _tile_name(tile)),
        level=level,
        baseline=radiometry.baseline,
        bands=bands,
        offsets={band: radiometry.offsets[files.physical(band)] for band in bands},
        quantification=radiometry.quantification,
        height=-(-first.height // step),
        width=-(-first.width // step),
        ground_sample_distance=files.distance * step,
        georeference=georeference,
        sensed_at=(tile and parse_time(tile.text("SENSING_TIME")))
        or (known and parse_time(known.text("PRODUCT_START_TIME")))
        or None,
        platform=_platform(known, tile),
        integrity=integrity,
        integrity_doubt=doubt,
        substituted=files.substituted,
        remarks=(
            *files.remarks,
            *distance_remarks(files.distance * step, ground_sample_distance),
            *radiometry.remarks,
            *(() if georeference else ("there is no georeference in MTD_TL.xml",)),
            *_size_remarks(tile, files.distance, first),
            *filter(None, (doubt,)),
            *manifest.remarks(),
            *chosen.remarks,
            *decoding.remarks,
        ),
        decode="fast" if decoding.largest_error else "exact",
        largest_error=decoding.largest_error,
    )
    finest = [images[band] for band in bands if files.distances[band] == files.distance]
    return StripScene(
        metadata,
        parts=_on_one_grid(decoding.parts, exact, files, files.distance * step),
        rows=rows_per_decode([image.tile_height for image in finest], step) // step,
        columns=(
            panel_columns([image.tile_width for image in finest], step, metadata.width)
            if panels
            else metadata.width
        ),
        checks=tuple(
            part.checking(check) if isinstance(part, CopiedBand) else check
            for part, check in _checks(decoding.parts, files.paths.values(), manifest)
        ),
    )


def _on_one_grid(
    parts: tuple[StripPart, ...], exact: tuple[Jp2Band, ...], files: BandFiles, pitch: int
) -> tuple[StripPart, ...]:
    """The parts that read the bands, the coarser ones on the scene's grid of ``pitch`` metres."""
    if len(set(files.distances.values())) == 1:
        return parts
    return tuple(
        part if distance == files.distance else _resampled(part, one, distance, pitch)
        for part, one, distance in zip(parts, exact, files.distances.values(), strict=True)
    )


def _resampled(part: StripPart, band: Jp2Band, distance: int, pitch: int) -> ResampledBand:
    image, step = band.codestream, band.step
    height, width = -(-image.height // step), -(-image.width // step)
    return ResampledBand(
        part,
        height,
        width,
        pitch=distance * step,
        scene_pitch=pitch,
        cell=(
            rows_per_decode([image.tile_height], step) // step,
            panel_columns([image.tile_width], step, width),
        ),
    )


def _checks(
    parts: Iterable[StripPart], paths: Iterable[Path], manifest: Manifest
) -> Iterator[tuple[StripPart | None, Check]]:
    """The check of each file that has a checksum, with the part that reads the file alone."""
    alone = {part.exact.path: part for part in parts if isinstance(part, CopiedBand)}
    for path in paths:
        if checksum := manifest.of(path):
            yield alone.get(path), partial(checksum.check_file, path)


def _locate(root: Path, tile: str) -> _Product:
    if _is_aws_tile(root):
        return _Product(root, root, None, _only_file(root, _TILE_XML))
    granule = _granule(root, tile)
    return _Product(root, granule, _only_file(root, _PRODUCT_XML), _only_file(granule, _TILE_XML))


def _granule(root: Path, tile: str) -> Path:
    """The granule of the tile that was asked for, or the only one."""
    folder = root / "GRANULE"
    granules = [child for child in children_of(folder) if (child / "IMG_DATA").is_dir()]
    if not granules:
        cause = "must contain a granule with a folder IMG_DATA, but contains none"
        raise SceneNotFound(folder, cause, _CURE)
    wanted = [one for one in granules if not tile or sentinel_2.tile_id(one.name) == tile]
    if len(wanted) == 1:
        return wanted[0]
    names = [sentinel_2.tile_id(one.name) or one.name for one in granules]
    listed = f"{len(names)} {'tile' if len(names) == 1 else 'tiles'}: {', '.join(names)}"
    cause = f"contains {listed}" if wanted else f"lacks the tile {tile}; it contains {listed}"
    raise SceneNotFound(folder, cause, "Name one of them as the tile", argument="tile")


def _only_file(folder: Path, form: re.Pattern[str]) -> Path | None:
    """The file of that form, None if there is none; :class:`BadMetadata` if there are several."""
    files = [child for child in children_of(folder) if form.fullmatch(child.name)]
    if len(files) > 1:
        names = ", ".join(child.name for child in files)
        raise BadMetadata(folder, f"has several metadata files: {names}", "Keep one of them")
    return files[0] if files else None  # whatever it is: reading it decides


def _is_aws_tile(folder: Path) -> bool:
    """Whether images of a tile on AWS are in the folder: ``R10m/B02.jp2``, or ``B02.jp2``."""
    places = (folder, *(folder / f"R{distance}m" for distance in (10, 20, 60)))
    return any(place.is_dir() and any(place.glob("B[01][0-9].jp2")) for place in places)


def _step(distance: int, wanted: int) -> int:
    steps, rest = divmod(wanted, distance)
    return steps if rest == 0 and steps in _STEPS else 1


def _inspect(path: Path, manifest: Manifest) -> Codestream:
    image = inspect(path)
    if image.signed or not 8 < image.precision <= 16:
        sign = "signed" if image.signed else "unsigned"
        cause = f"holds {sign} numbers of {image.precision} bits, not unsigned of 9 to 16 bits"
        raise CorruptImage(path, cause, "Give a product of digital numbers")
    if checksum := manifest.of(path):
        checksum.check_size(path, path.stat().st_size)
    return image


def _agreeing_sizes(files: BandFiles, images: Mapping[str, Codestream]) -> Codestream:
    """The structure of the first of the finest bands, once all are known to cover one area."""
    folder = next(iter(files.paths.values())).parent
    alike: dict[int, dict[str, tuple[int, int]]] = {}
    for band, image in images.items():
        sizes = alike.setdefault(files.distances[band], {})
        sizes[files.paths[band].name] = (image.width, image.height)
    for sizes in alike.values():
        check_sizes(folder, sizes, _CURE)
    first = next(image for band, image in images.items() if files.distances[band] == files.distance)
    for distance, sizes in alike.items():
        name, found = next(iter(sizes.items()))
        expected = tuple(
            -(-side * files.distance // distance) for side in (first.width, first.height)
        )
        if found != expected:
            cause = (
                f"has {name} of {found[0]} x {found[1]} pixels of {distance} m, but "
                f"{first.width} x {first.height} pixels of {files.distance} m: they cover "
                "different areas"
            )
            raise BandSizeMismatch(folder, cause, _CURE, sizes=alike[files.distance] | sizes)
    return first


def _level(known: Document | None, tile: Document | None, product: _Product) -> str:
    if known:
        return level_of_product(known)
    layered = any((product.images / f"R{distance}m").is_dir() for distance in (10, 20, 60))
    return (level_of_tile(tile) if tile else "") or ("L2A" if layered else "L1C")


def _tile_name(tile: Document | None) -> str:
    return (tile.text("TILE_ID") if tile else None) or ""


def _name(product: _Product, tile: Document | None) -> str:
    """The product's name; a tile on AWS is in a folder that is called 0, so it has its tile id."""
    if product.images == product.root and _tile_name(tile):
        return _tile_name(tile)
    return re.sub(r"\.SAFE$", "", product.root.name, flags=re.IGNORECASE)


def _platform(known: Document | None, tile: Document | None) -> str:
    named = known.text("SPACECRAFT_NAME") if known else None
    unit = re.match(r"S2([A-Z])_", _tile_name(tile))
    return named or (f"Sentinel-2{unit[1]}" if unit else "")


def _size_remarks(tile: Document | None, distance: int, image: Codestream) -> tuple[str, ...]:
    size = size_of_tile(tile, distance) if tile else None
    if size in (None, (image.height, image.width)):
        return ()
    stated, found = f"{size[1]} x {size[0]}", f"{image.width} x {image.height}"
    return (f"the bands are {found} pixels, but MTD_TL.xml says {stated}",)
