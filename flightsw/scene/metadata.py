"""What a product's XML files say about its digital numbers, its location and its time."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

from rasterio.crs import CRS

from flightsw import sentinel_2
from flightsw.errors import BadMetadata
from flightsw.scene.scene import Georeference
from flightsw.scene.xml_document import Document, text_of

LOWEST_OFFSET: Final = -10_000
"""A DN offset below this would shift reflectance by more than 1; no product has one."""

_CRS_CURE: Final = "Fetch the file again, or correct the code"
OFFSET_CURE: Final = (
    "Fetch the file again, or give its offset: -1000 from baseline 04.00 on, else 0"
)
_OWN_PROCESSOR_CURE: Final = (
    "Give its offset: -1000 if its L1C product is of baseline 04.00 or later, else 0"
)
USUAL_QUANTIFICATION: Final = 10_000.0

_PLACE: Final = ("ULX", "ULY", "XDIM", "YDIM")
_FIRST_WITH_OFFSETS: Final = (4, 0)  # processing baseline 04.00
_LAST_KNOWN_MAJOR: Final = 5
_OFFSET_ELEMENTS: Final = {"L1C": "RADIO_ADD_OFFSET", "L2A": "BOA_ADD_OFFSET"}
_QUANTIFICATION_ELEMENTS: Final = {
    "L1C": ("QUANTIFICATION_VALUE",),
    "L2A": ("BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE"),
}


@dataclass(frozen=True)
class Radiometry:
    """Reflectance = (DN + ``offsets[band]``) / ``quantification``, by physical band."""

    baseline: str
    offsets: Mapping[str, int]
    quantification: float
    remarks: tuple[str, ...] = ()


def level_of_product(document: Document) -> str:
    """``L1C`` or ``L2A``, from MTD_MSIL*.xml; raises :class:`BadMetadata`."""
    text = document.text("PROCESSING_LEVEL") or ""
    for level in _OFFSET_ELEMENTS:
        if text.startswith(f"Level-{level[1:]}"):
            return level
    cause = f"has PROCESSING_LEVEL '{text}', neither Level-1C nor Level-2A"
    raise BadMetadata(document.path, cause, "Give an L1C or L2A product")


def level_of_tile(document: Document) -> str:
    """``L1C`` or ``L2A``, from the name of the root of MTD_TL.xml; empty if it is another level."""
    name = re.fullmatch(r"(?:\{.*\})?Level-(1C|2A)_Tile_ID", str(document.root.tag))
    return f"L{name[1]}" if name else ""


def radiometry_of_product(
    document: Document, level: str, bands: Sequence[str], offset: int | None
) -> Radiometry:
    """Offsets of the (physical) bands and quantification value from MTD_MSIL*.xml.

    A given ``offset`` replaces the file's.  Raises
    :class:`BadMetadata` naming file, element, cause and cure.
    """
    baseline = document.text("PROCESSING_BASELINE") or ""
    quantification = _quantification(document, level)
    if offset is not None:
        return Radiometry(baseline, dict.fromkeys(bands, offset), quantification, (_given(offset),))
    element = _OFFSET_ELEMENTS[level]
    if document.elements(element):
        offsets = _listed_offsets(document, element, bands)
        remark = f"processing baseline '{baseline}' is unknown; the product's own offsets are used"
        return Radiometry(
            baseline, offsets, quantification, () if is_known_baseline(baseline) else (remark,)
        )
    if _offset_of_baseline(document, baseline, element) != 0:
        cause, cure = f"has PROCESSING_BASELINE {baseline} but lacks {element}", OFFSET_CURE
        if not is_known_baseline(baseline):
            cause += ", so whether its DN has an offset is unknown"
            cure = _OWN_PROCESSOR_CURE
        raise BadMetadata(document.path, cause, cure, argument="offset", element=element)
    return Radiometry(baseline, dict.fromkeys(bands, 0), quantification)


def radiometry_of_tile(
    document: Document | None,
    level: str,
    bands: Sequence[str],
    offset: int | None,
    subject: Path,
    assumed: int | None = None,
) -> Radiometry:
    """The same if MTD_MSIL*.xml is absent: the baseline in MTD_TL.xml's tile id decides.

    ``subject`` is the product, named in the error if there is no MTD_TL.xml either.
    """
    baseline = _baseline_of_tile(document, level) if document is not None else ""
    if offset is not None:
        remark = _given(offset)
    elif document is not None:
        offset = _offset_of_baseline(document, baseline, "MTD_MSIL*.xml")
        remark = (
            f"offset {offset} follows from baseline {baseline} in the tile id of "
            f"{document.path.name}"
        )
    elif assumed is not None:
        offset, remark = assumed, assumed_offset(assumed)
    else:
        cause = (
            "has neither MTD_MSIL*.xml nor MTD_TL.xml (on AWS: metadata.xml), so its DN offset is "
            "unknown"
        )
        raise BadMetadata(subject, cause, OFFSET_CURE, argument="offset")
    usual = f"there is no MTD_MSI{level}.xml, so quantification value 10000 is assumed"
    return Radiometry(baseline, dict.fromkeys(bands, offset), USUAL_QUANTIFICATION, (remark, usual))


def georeference_of(document: Document, distance: int, step: int) -> Georeference | None:
    """The grid at ``distance`` metres, every ``step``-th pixel; None if the file lacks it."""
    code = document.text("HORIZONTAL_CS_CODE")
    for place in document.elements("Geoposition"):
        if code and place.get("resolution") == str(distance):
            left, top, across, down = (_number(place.findtext(f"{{*}}{name}")) for name in _PLACE)
            if left is not None and top is not None and (across, down) == (distance, -distance):
                size = float(distance * step)
                return Georeference(_known(code, document), (size, 0.0, left, 0.0, -size, top))
    return None


def _known(code: str, document: Document) -> str:
    try:
        CRS.from_string(code)
    except ValueError as error:  # also of what is not a CRSError, such as EPSG:3263g
        cause = f"names {code}, which is not a known coordinate system ({error})"
        element = "HORIZONTAL_CS_CODE"
        raise BadMetadata(document.path, cause, _CRS_CURE, element=element) from error
    return code.upper()


def size_of_tile(document: Document, distance: int) -> tuple[int, int] | None:
    """Rows and columns at ``distance`` metres, None if the file does not say."""
    for size in document.elements("Size"):
        rows, columns = (_number(size.findtext(f"{{*}}{name}")) for name in ("NROWS", "NCOLS"))
        if size.get("resolution") == str(distance) and rows and columns:
            return int(rows), int(columns)
    return None


def parse_time(text: str | None) -> datetime | None:
    """``2022-10-05T11:54:11.024Z``, with or without fraction, as UTC; None if not of that form."""
    for form in ("%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%dT%H:%M:%SZ"):
        try:
            return datetime.strptime(text or "", form).replace(tzinfo=timezone.utc)
        except ValueError:
            continue
    return None


def offset_of_baseline(baseline: str) -> int | None:
    """The DN offset of ESA's products of that processing baseline, None if it is not a number."""
    parsed = _parse_baseline(baseline)
    return None if parsed is None else -1000 if parsed >= _FIRST_WITH_OFFSETS else 0


def assumed_offset(offset: int) -> str:
    """The remark that the settings' offset is used."""
    return f"offset {offset} of the settings is assumed: the product gives none"


def _given(offset: int) -> str:
    return f"offset {offset} was given and replaces the product's"


def _listed_offsets(document: Document, name: str, bands: Sequence[str]) -> dict[str, int]:
    """Offsets of these bands; those of other bands are not checked."""

    def bad(band: str, cause: str) -> BadMetadata:
        return BadMetadata(
            document.path, cause, OFFSET_CURE, argument="offset", element=name, band=band
        )

    names = _band_names(document)
    offsets: dict[str, int] = {}
    for element in document.elements(name):
        band = names.get(element.get("band_id", "").strip(), "")
        if band not in bands:
            continue
        text = text_of(element)
        value = int(text) if re.fullmatch(r"[+-]?[0-9]{1,9}", text) else None
        if value is None or not LOWEST_OFFSET <= value <= 0:
            raise bad(band, f"has {name} '{text}' for band {band}, not an integer from -10000 to 0")
        if offsets.setdefault(band, value) != value:
            raise bad(band, f"has both {offsets[band]} and {value} as {name} of band {band}")
    for band in bands:
        if band not in offsets:
            raise bad(band, f"lacks {name} for band {band}")
    return offsets


def _band_names(document: Document) -> dict[str, str]:
    """Band name by band id: the product specification's table, overridden by the file."""
    names = {str(number): name for number, name in enumerate(sentinel_2.BANDS)}
    for element in document.elements("Spectral_Information"):
        physical = re.fullmatch(r"B(\d{1,2}|8A)", element.get("physicalBand", ""))
        if physical:
            names[element.get("bandId", "")] = f"B{physical[1].zfill(2)}"
    return names


def _offset_of_baseline(document: Document, baseline: str, missing: str) -> int:
    """-1000 from baseline 04.00 on, else 0 (product specification, change of January 2022)."""
    offset = offset_of_baseline(baseline)
    if offset is None:
        cause = f"gives no DN offset: its baseline is '{baseline}' and {missing} is absent"
        raise BadMetadata(document.path, cause, OFFSET_CURE, argument="offset", element=missing)
    return offset


def _baseline_of_tile(document: Document, level: str) -> str:
    """The newest baseline at the end of a tile id of that level: ``…_MSI_L2A_…_N04.00``."""
    found = [
        match[1]
        for name in ("TILE_ID", "L2A_TILE_ID", "L1C_TILE_ID")
        for element in document.elements(name)
        if (match := re.fullmatch(rf".*_MSI_{level}_.*_N(\d\d\.\d\d)", text_of(element)))
    ]
    return max(found, default="")


def is_known_baseline(baseline: str) -> bool:
    """Whether it is one of ESA's; Sen2Cor on a user's machine writes 99.99."""
    parsed = _parse_baseline(baseline)
    return parsed is not None and parsed[0] <= _LAST_KNOWN_MAJOR


def _parse_baseline(text: str) -> tuple[int, int] | None:
    match = re.fullmatch(r"([0-9]{2})\.([0-9]{2})", text)
    return (int(match[1]), int(match[2])) if match else None


def _quantification(document: Document, level: str) -> float:
    names = _QUANTIFICATION_ELEMENTS[level]
    text = next((text for name in names if (text := document.text(name)) is not None), None)
    value = _number(text)
    if value is None or value <= 0:
        cause = f"has {names[0]} {text}, not a number above 0" if text else f"lacks {names[0]}"
        raise BadMetadata(document.path, cause, "Fetch the file again", element=names[0])
    return value


def _number(text: str | None) -> float | None:
    """A finite decimal number, None for anything else."""
    if not re.fullmatch(r"\s*[+-]?[0-9]{1,15}(\.[0-9]{1,15})?\s*", text or ""):
        return None
    value = float(text or "")
    return value if math.isfinite(value) else None
