"""Metadata of a product, element for element as in ESA's files, reduced to what readers use.

``templates/`` holds them, made after ``MTD_MSIL2A.xml``, ``MTD_MSIL1C.xml``, ``MTD_TL.xml`` and
``manifest.safe`` of real products, baselines 02.09 to 05.09.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from telecommands.groundsim.scenes.product_names import ProductName, grid_position
from telecommands.groundsim.scenes.radiometry import OFFSET, QUANTIFICATION

_TEMPLATES: Final = Path(__file__).with_name("templates")
_SCHEMAS: Final = "https://psd-14.sentinel2.eo.esa.int/PSD"
_BAND_IDS: Final = (
    "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12",
)  # fmt: skip
_NANOMETRES: Final = (
    442.7, 492.7, 559.8, 664.6, 704.1, 740.5, 782.8, 832.8, 864.7, 945.1, 1373.5, 1613.7, 2202.4,
)  # fmt: skip
_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class SimulatedScene:
    """Paths of product and truth, and their contents (fractions of the valid pixels)."""

    scene: Path
    truth: Path
    size: int
    cloud_fraction: float
    shadow_fraction: float
    contaminated_fraction: float
    no_data_fraction: float
    bits_per_pixel: float
    sun_azimuth: float
    sun_zenith: float


def band_place(name: ProductName, size: int, metres: int = 10) -> str:
    """Where a band of a scene of ``size`` x ``size`` pixels of 10 m lies: its GML box's document.

    ``metres`` lie between the band's own pixels.
    """
    place = grid_position(name.tile_id)
    return _filled(
        "gmljp2.xml",
        {"place": place, "size": -(-size * 10 // metres), "metres": metres},
        x=place.left + metres // 2,  # the centre of the first pixel
        y=place.top - metres // 2,
    )


def write_metadata(
    product: Path, name: ProductName, scene: SimulatedScene, bands: Mapping[str, int]
) -> None:
    """Write both metadata files and then the manifest; all other files must exist.

    ``bands`` are those of the product, with the metres between their pixels.
    """
    number = name.level[1:]
    facts = {
        "name": name,
        "scene": scene,
        "cloudy": 100 * scene.cloud_fraction,
        "no_data": 100 * scene.no_data_fraction,
        "number": number,
        "datastrip": name.identifier("DS"),
        "tile": name.identifier("TL"),
    }
    (product / f"MTD_MSI{name.level}.xml").write_text(
        _filled(
            "MTD_MSI.xml",
            facts,
            schema=f"{_SCHEMAS}/User_Product_Level-{number}.xsd",
            start=f"{name.sensed:%Y-%m-%dT%H:%M:%S}.024Z",
            datatake=f"GS2A_{name.sensed:%Y%m%dT%H%M%S}_{name.absolute_orbit:06d}_N{name.baseline}",
            images="\n".join(_image_file(name, band, bands[band]) for band in sorted(bands)),
            spectral="\n".join(_spectral(band, bands[band]) for band in _BAND_IDS if band in bands),
            quantification=_quantification(name),
        )
    )
    shadowed = f"{100 * scene.shadow_fraction:.6f}"
    shadows = f"\n            <CLOUD_SHADOW_PERCENTAGE>{shadowed}</CLOUD_SHADOW_PERCENTAGE>"
    (product / "GRANULE" / name.granule / "MTD_TL.xml").write_text(
        _filled(
            "MTD_TL.xml",
            facts,
            schema=f"{_SCHEMAS}/S2_PDI_Level-{number}_Tile_Metadata.xsd",
            place=grid_position(name.tile_id),
            side={metres: -(-scene.size * 10 // metres) for metres in (10, 20, 60)},
            shadows=shadows if name.level == "L2A" else "",
        )
    )
    (product / "manifest.safe").write_text(_manifest(product, name, bands))


def _filled(template: str, facts: dict[str, Any], **more: Any) -> str:
    return (_TEMPLATES / template).read_text().format_map(facts | more)


def _quantification(name: ProductName) -> str:
    """The quantification value, and from baseline 04.00 one offset for each spectral band."""
    if name.level == "L2A":
        listed, offset = "BOA_ADD_OFFSET_VALUES_LIST", "BOA_ADD_OFFSET"
        text = f"""\
            <QUANTIFICATION_VALUES_LIST>
                <BOA_QUANTIFICATION_VALUE unit="none">{QUANTIFICATION}</BOA_QUANTIFICATION_VALUE>
                <AOT_QUANTIFICATION_VALUE unit="none">1000.0</AOT_QUANTIFICATION_VALUE>
                <WVP_QUANTIFICATION_VALUE unit="cm">1000.0</WVP_QUANTIFICATION_VALUE>
            </QUANTIFICATION_VALUES_LIST>"""
    else:
        listed, offset = "Radiometric_Offset_List", "RADIO_ADD_OFFSET"
        text = f"""\
            <QUANTIFICATION_VALUE unit="none">{QUANTIFICATION}</QUANTIFICATION_VALUE>"""
    if not name.has_offset:
        return text
    offsets = "\n".join(
        f'                <{offset} band_id="{index}">{OFFSET}</{offset}>'
        for index in range(len(_BAND_IDS))
    )
    return f"{text}\n            <{listed}>\n{offsets}\n            </{listed}>"


def _image_file(name: ProductName, band: str, distance: int) -> str:
    return f"                        <IMAGE_FILE>{name.image(band, distance)}</IMAGE_FILE>"


def _spectral(band: str, distance: int) -> str:
    number = _BAND_IDS.index(band)
    return f"""\
                <Spectral_Information bandId="{number}" physicalBand="{_short(band)}">
                    <RESOLUTION>{distance}</RESOLUTION>
                    <Wavelength>
                        <CENTRAL unit="nm">{_NANOMETRES[number]}</CENTRAL>
                    </Wavelength>
                </Spectral_Information>"""


def _short(band: str) -> str:
    """B2 for B02, as the metadata have it."""
    return f"B{band[1:].removeprefix('0')}"


def _manifest(product: Path, name: ProductName, bands: Mapping[str, int]) -> str:
    """Every file of the product with its size and SHA3-256."""
    level = f"Level-{name.level[1:]}"
    identifiers = {
        f"MTD_MSI{name.level}.xml": f"S2_{level}_Product_Metadata",
        f"GRANULE/{name.granule}/MTD_TL.xml": f"S2_{level}_Tile1_Metadata",
    }
    for band, distance in bands.items():
        suffix = f"_{distance}m" if name.level == "L2A" else ""
        place = f"{name.image(band, distance)}.jp2"
        identifiers[place] = f"IMG_DATA_Band_{band}{suffix}_Tile1_Data"
    units = "\n".join(
        f"""            <xfdu:contentUnit ID="{identifier}_Unit">
                <dataObjectPointer dataObjectID="{identifier}"/>
            </xfdu:contentUnit>"""
        for identifier in identifiers.values()
    )
    objects = "\n".join(
        _data_object(product / place, place, identifier)
        for place, identifier in identifiers.items()
    )
    facts = {"name": name, "level": level, "archive": name.level.lower()}
    return _filled("manifest.safe", facts, units=units, objects=objects)


def _data_object(path: Path, place: str, identifier: str) -> str:
    digest = hashlib.sha3_256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    kind = "text/xml" if path.suffix == ".xml" else "application/octet-stream"
    return f"""\
        <dataObject ID="{identifier}">
            <byteStream mimeType="{kind}" size="{path.stat().st_size}">
                <fileLocation href="./{place}" locatorType="URL"/>
                <checksum checksumName="SHA3-256">{digest.hexdigest()}</checksum>
            </byteStream>
        </dataObject>"""
