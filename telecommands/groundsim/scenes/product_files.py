"""Metadata of a product, element for element as in ESA's files, reduced to what readers use.

Models: ``MTD_MSIL2A.xml``, ``MTD_MSIL1C.xml``, ``MTD_TL.xml`` and ``manifest.safe`` of
real products, baselines 02.09 to 05.09.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from telecommands.groundsim.scenes.landscape import Illumination
from telecommands.groundsim.scenes.product_names import BANDS, ProductName, grid_position
from telecommands.groundsim.scenes.radiometry import OFFSET, QUANTIFICATION

_SCHEMAS: Final = "https://psd-14.sentinel2.eo.esa.int/PSD"
_INSTANCE: Final = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
_HEADER: Final = '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'
_SPECTRAL_BANDS: Final = 13
# bandId, physicalBand, central wavelength in nm: Sentinel-2A
_INSTRUMENT: Final = ((1, "B2", 492.7), (2, "B3", 559.8), (3, "B4", 664.6), (7, "B8", 832.8))
_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class Contents:
    """Contents of a simulated product: side in pixels, sun, and percentages of valid pixels."""

    size: int
    sun: Illumination
    cloudy: float
    shadowed: float
    no_data: float


def write_metadata(product: Path, name: ProductName, contents: Contents) -> None:
    """Write both metadata files and then the manifest; all other files must exist."""
    (product / f"MTD_MSI{name.level}.xml").write_text(_product_metadata(name, contents))
    (product / "GRANULE" / name.granule / "MTD_TL.xml").write_text(_tile_metadata(name, contents))
    (product / "manifest.safe").write_text(_manifest(product, name))


def _product_metadata(name: ProductName, contents: Contents) -> str:
    schema = f"{_SCHEMAS}/User_Product_Level-{name.level[1:]}.xsd"
    images = "\n".join(
        f"                        <IMAGE_FILE>{name.image(band)}</IMAGE_FILE>" for band in BANDS
    )
    spectra = "\n".join(
        f"""                <Spectral_Information bandId="{index}" physicalBand="{band}">
                    <RESOLUTION>10</RESOLUTION>
                    <Wavelength>
                        <CENTRAL unit="nm">{centre}</CENTRAL>
                    </Wavelength>
                </Spectral_Information>"""
        for index, band, centre in _INSTRUMENT
    )
    start = f"{name.sensed:%Y-%m-%dT%H:%M:%S}.024Z"
    datatake = f"GS2A_{name.sensed:%Y%m%dT%H%M%S}_{name.absolute_orbit:06d}_N{name.baseline}"
    return f"""{_HEADER}\
<n1:Level-{name.level[1:]}_User_Product xmlns:n1="{schema}" {_INSTANCE} \
xsi:schemaLocation="{schema}">
    <n1:General_Info>
        <Product_Info>
            <PRODUCT_START_TIME>{start}</PRODUCT_START_TIME>
            <PRODUCT_STOP_TIME>{start}</PRODUCT_STOP_TIME>
            <PRODUCT_URI>{name.product}.SAFE</PRODUCT_URI>
            <PROCESSING_LEVEL>Level-{name.level[1:]}</PROCESSING_LEVEL>
            <PRODUCT_TYPE>S2MSI{name.level[1:]}</PRODUCT_TYPE>
            <PROCESSING_BASELINE>{name.baseline}</PROCESSING_BASELINE>
            <GENERATION_TIME>{name.generated:%Y-%m-%dT%H:%M:%S}.000000Z</GENERATION_TIME>
            <PREVIEW_IMAGE_URL>Not applicable</PREVIEW_IMAGE_URL>
            <PREVIEW_GEO_INFO>Not applicable</PREVIEW_GEO_INFO>
            <Datatake datatakeIdentifier="{datatake}">
                <SPACECRAFT_NAME>Sentinel-2A</SPACECRAFT_NAME>
                <DATATAKE_TYPE>INS-NOBS</DATATAKE_TYPE>
                <DATATAKE_SENSING_START>{start}</DATATAKE_SENSING_START>
                <SENSING_ORBIT_NUMBER>{name.relative_orbit}</SENSING_ORBIT_NUMBER>
                <SENSING_ORBIT_DIRECTION>DESCENDING</SENSING_ORBIT_DIRECTION>
            </Datatake>
            <Query_Options completeSingleTile="true">
                <PRODUCT_FORMAT>SAFE_COMPACT</PRODUCT_FORMAT>
            </Query_Options>
            <Product_Organisation>
                <Granule_List>
                    <Granule datastripIdentifier="{name.identifier("DS")}" \
granuleIdentifier="{name.identifier("TL")}" imageFormat="JPEG2000">
{images}
                    </Granule>
                </Granule_List>
            </Product_Organisation>
        </Product_Info>
        <Product_Image_Characteristics>
            <Special_Values>
                <SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT>
                <SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX>
            </Special_Values>
            <Special_Values>
                <SPECIAL_VALUE_TEXT>SATURATED</SPECIAL_VALUE_TEXT>
                <SPECIAL_VALUE_INDEX>65535</SPECIAL_VALUE_INDEX>
            </Special_Values>
            <Image_Display_Order>
                <RED_CHANNEL>3</RED_CHANNEL>
                <GREEN_CHANNEL>2</GREEN_CHANNEL>
                <BLUE_CHANNEL>1</BLUE_CHANNEL>
            </Image_Display_Order>
{_quantification(name)}
            <Spectral_Information_List>
{spectra}
            </Spectral_Information_List>
        </Product_Image_Characteristics>
    </n1:General_Info>
    <n1:Quality_Indicators_Info>
        <Cloud_Coverage_Assessment>{contents.cloudy:.6f}</Cloud_Coverage_Assessment>
    </n1:Quality_Indicators_Info>
</n1:Level-{name.level[1:]}_User_Product>
"""


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
        for index in range(_SPECTRAL_BANDS)
    )
    return f"{text}\n            <{listed}>\n{offsets}\n            </{listed}>"


def _tile_metadata(name: ProductName, contents: Contents) -> str:
    schema = f"{_SCHEMAS}/S2_PDI_Level-{name.level[1:]}_Tile_Metadata.xsd"
    place = grid_position(name.tile_id)
    sizes = "\n".join(
        f"""            <Size resolution="{metres}">
                <NROWS>{-(-contents.size * 10 // metres)}</NROWS>
                <NCOLS>{-(-contents.size * 10 // metres)}</NCOLS>
            </Size>"""
        for metres in (10, 20, 60)
    )
    positions = "\n".join(
        f"""            <Geoposition resolution="{metres}">
                <ULX>{place.left}</ULX>
                <ULY>{place.top}</ULY>
                <XDIM>{metres}</XDIM>
                <YDIM>-{metres}</YDIM>
            </Geoposition>"""
        for metres in (10, 20, 60)
    )
    shadows = (
        f"\n            <CLOUD_SHADOW_PERCENTAGE>{contents.shadowed:.6f}</CLOUD_SHADOW_PERCENTAGE>"
        if name.level == "L2A"
        else ""
    )
    return f"""{_HEADER}\
<n1:Level-{name.level[1:]}_Tile_ID xmlns:n1="{schema}" {_INSTANCE} xsi:schemaLocation="{schema}">
    <n1:General_Info>
        <TILE_ID metadataLevel="Brief">{name.identifier("TL")}</TILE_ID>
        <DATASTRIP_ID metadataLevel="Standard">{name.identifier("DS")}</DATASTRIP_ID>
        <DOWNLINK_PRIORITY metadataLevel="Standard">NOMINAL</DOWNLINK_PRIORITY>
        <SENSING_TIME metadataLevel="Standard">\
{name.sensed:%Y-%m-%dT%H:%M:%S}.024000Z</SENSING_TIME>
        <Archiving_Info metadataLevel="Expertise">
            <ARCHIVING_CENTRE>2APS</ARCHIVING_CENTRE>
            <ARCHIVING_TIME>{name.generated:%Y-%m-%dT%H:%M:%S}.000000Z</ARCHIVING_TIME>
        </Archiving_Info>
    </n1:General_Info>
    <n1:Geometric_Info>
        <Tile_Geocoding metadataLevel="Brief">
            <HORIZONTAL_CS_NAME>WGS84 / UTM zone {place.zone}</HORIZONTAL_CS_NAME>
            <HORIZONTAL_CS_CODE>EPSG:{place.epsg}</HORIZONTAL_CS_CODE>
{sizes}
{positions}
        </Tile_Geocoding>
        <Tile_Angles metadataLevel="Standard">
            <Mean_Sun_Angle>
                <ZENITH_ANGLE unit="deg">{contents.sun.zenith:.6f}</ZENITH_ANGLE>
                <AZIMUTH_ANGLE unit="deg">{contents.sun.azimuth:.6f}</AZIMUTH_ANGLE>
            </Mean_Sun_Angle>
        </Tile_Angles>
    </n1:Geometric_Info>
    <n1:Quality_Indicators_Info metadataLevel="Standard">
        <Image_Content_QI>
            <CLOUDY_PIXEL_PERCENTAGE>{contents.cloudy:.6f}</CLOUDY_PIXEL_PERCENTAGE>
            <DEGRADED_MSI_DATA_PERCENTAGE>0.000000</DEGRADED_MSI_DATA_PERCENTAGE>
            <NODATA_PIXEL_PERCENTAGE>{contents.no_data:.6f}</NODATA_PIXEL_PERCENTAGE>{shadows}
        </Image_Content_QI>
    </n1:Quality_Indicators_Info>
</n1:Level-{name.level[1:]}_Tile_ID>
"""


def _manifest(product: Path, name: ProductName) -> str:
    """Every file of the product with its size and SHA3-256."""
    level = f"Level-{name.level[1:]}"
    identifiers = {
        f"MTD_MSI{name.level}.xml": f"S2_{level}_Product_Metadata",
        f"GRANULE/{name.granule}/MTD_TL.xml": f"S2_{level}_Tile1_Metadata",
    }
    suffix = "_10m" if name.level == "L2A" else ""
    for band in BANDS:
        identifiers[f"{name.image(band)}.jp2"] = f"IMG_DATA_Band_{band}{suffix}_Tile1_Data"
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
    return f"""{_HEADER}\
<xfdu:XFDU xmlns:gml="http://www.opengis.net/gml" \
xmlns:safe="http://www.esa.int/safe/sentinel/1.1" xmlns:xfdu="urn:ccsds:schema:xfdu:1" \
version="esa/safe/sentinel/1.1/sentinel-2/msi/archive_{name.level.lower()}_user_product">
    <informationPackageMap>
        <xfdu:contentUnit dmdID="acquisitionPeriod platform" \
textInfo="SENTINEL-2 MSI {level} User Product" unitType="Product_{level}">
{units}
        </xfdu:contentUnit>
    </informationPackageMap>
    <metadataSection>
        <metadataObject ID="acquisitionPeriod" category="DMD" classification="DESCRIPTION">
            <metadataWrap mimeType="text/xml" textInfo="Acquisition Period" \
vocabularyName="Sentinel-SAFE">
                <xmlData>
                    <safe:acquisitionPeriod>
                        <safe:startTime>{name.sensed:%Y-%m-%dT%H:%M:%S}.024Z</safe:startTime>
                    </safe:acquisitionPeriod>
                </xmlData>
            </metadataWrap>
        </metadataObject>
        <metadataObject ID="platform" category="DMD" classification="DESCRIPTION">
            <metadataWrap mimeType="text/xml" textInfo="Platform Description" \
vocabularyName="Sentinel-SAFE">
                <xmlData>
                    <safe:platform>
                        <safe:nssdcIdentifier>2015-000A</safe:nssdcIdentifier>
                        <safe:familyName>SENTINEL</safe:familyName>
                        <safe:number>2A</safe:number>
                        <safe:instrument>
                            <safe:familyName abbreviation="MSI">Multi-Spectral Instrument\
</safe:familyName>
                        </safe:instrument>
                    </safe:platform>
                </xmlData>
            </metadataWrap>
        </metadataObject>
    </metadataSection>
    <dataObjectSection>
{objects}
    </dataObjectSection>
</xfdu:XFDU>
"""


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
