"""Small but real Sentinel-2 products: JPEG 2000 bands, metadata, manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import glymur
import numpy as np
from numpy.typing import NDArray

from flightsw import sentinel_2

BANDS = ("B02", "B03", "B04", "B08")
ALL_AT = {
    10: BANDS,
    20: ("B05", "B06", "B07", "B8A", "B11", "B12"),
    60: ("B01", "B09", "B10"),
}
NAME = "S2A_MSIL2A_20221005T115411_N0400_R023_T29UNU_20221005T164454"
GRANULE = "L2A_T29UNU_A038058_20221005T115407"
PREFIX = "T29UNU_20221005T115411"


def band_pixels(band: str, height: int, width: int) -> NDArray[np.uint16]:
    """Digital numbers that differ from pixel to pixel and from band to band."""
    chance = np.random.default_rng(int(band[1:], 16))
    ramp = np.add.outer(np.arange(height), 3 * np.arange(width)) + 1000
    return (ramp + chance.integers(0, 200, (height, width))).astype(np.uint16)


def as_measured(band: str, distance: int | None = None) -> NDArray[np.uint16]:
    """Pixels of a band that covers the area of 157 x 203 pixels of 10 m."""
    metres = distance or sentinel_2.NATIVE_DISTANCES[band]
    return band_pixels(band, -(-1570 // metres), -(-2030 // metres))


def write_jp2(
    path: Path,
    pixels: NDArray[np.generic],
    tile: tuple[int, int] | None = (64, 64),
    levels: int = 3,
) -> None:
    """A lossless (5/3) JP2; ``tile`` None makes it one single tile, as does an image within it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # glymur 0.14.0 looks into a file that it is to write over
    tiled = tile and all(side <= most for side, most in zip(tile, pixels.shape[:2], strict=True))
    tiling = {"tilesize": tile} if tiled else {}
    glymur.Jp2k(str(path), data=pixels, numres=levels + 1, **tiling)


@dataclass(frozen=True)
class SafeProduct:
    """What to write; ``at`` maps a distance to the bands of its folder."""

    at: Mapping[int, Sequence[str]] = field(default_factory=lambda: {10: BANDS})
    height: int = 157
    width: int = 203
    tile: tuple[int, int] | None = (64, 64)
    level: str = "L2A"
    baseline: str = "04.00"
    offsets: Mapping[str, str] | None = field(
        default_factory=lambda: {str(number): "-1000" for number in range(13)}
    )
    quantification: str = "10000"
    product_xml: bool = True
    tile_xml: bool = True
    checksum: str | None = "SHA3-256"

    def write(
        self,
        parent: Path,
        name: str = f"{NAME}.SAFE",
        pixels: Callable[[str], NDArray[np.uint16]] | None = None,
    ) -> Path:
        """Write the product below ``parent`` and return its folder; ``pixels`` of a band."""
        shown = pixels or (lambda band: band_pixels(band, self.height, self.width))
        root = parent / name.replace("L2A", self.level)
        granule = root / "GRANULE" / GRANULE.replace("L2A", self.level)
        for distance, bands in self.at.items():
            for band in bands:
                path = granule / "IMG_DATA" / self._file(band, distance)
                write_jp2(path, shown(band), self.tile)
        if self.product_xml:
            (root / f"MTD_MSI{self.level}.xml").write_text(self.product_text())
        if self.tile_xml:
            (granule / "MTD_TL.xml").write_text(self.tile_text())
        if self.checksum:
            write_manifest(root, self.checksum)
        return root

    def _file(self, band: str, distance: int) -> str:
        if self.level == "L1C":
            return f"{PREFIX}_{band}.jp2"
        return f"R{distance}m/{PREFIX}_{band}_{distance}m.jp2"

    def product_text(self) -> str:
        kind = "BOA" if self.level == "L2A" else "RADIO"
        quantification = "BOA_QUANTIFICATION_VALUE" if kind == "BOA" else "QUANTIFICATION_VALUE"
        offsets = "".join(
            f'<{kind}_ADD_OFFSET band_id="{number}">{value}</{kind}_ADD_OFFSET>\n'
            for number, value in (self.offsets or {}).items()
        )
        return f"""<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-{self.level[1:]}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/x.xsd">
<PRODUCT_START_TIME>2022-10-05T11:54:11.024Z</PRODUCT_START_TIME>
<PROCESSING_LEVEL>Level-{self.level[1:]}</PROCESSING_LEVEL>
<PROCESSING_BASELINE>{self.baseline}</PROCESSING_BASELINE>
<SPACECRAFT_NAME>Sentinel-2A</SPACECRAFT_NAME>
<{quantification} unit="none">{self.quantification}</{quantification}>
{offsets}</n1:Level-{self.level[1:]}_User_Product>
"""

    def tile_text(self) -> str:
        identifier = f"S2A_OPER_MSI_{self.level}_TL_ATOS_20221005T164454_A038058_T29UNU"
        sizes = "".join(
            f'<Size resolution="{distance}"><NROWS>{self.height}</NROWS>'
            f"<NCOLS>{self.width}</NCOLS></Size>\n"
            f'<Geoposition resolution="{distance}"><ULX>499980</ULX><ULY>5900040</ULY>'
            f"<XDIM>{distance}</XDIM><YDIM>-{distance}</YDIM></Geoposition>\n"
            for distance in (10, 20, 60)
        )
        return f"""<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-{self.level[1:]}_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/y.xsd">
<L1C_TILE_ID>S2A_OPER_MSI_L1C_TL_ATOS_20221005T140000_A038058_T29UNU_N02.07</L1C_TILE_ID>
<TILE_ID>{identifier}_N{self.baseline}</TILE_ID>
<SENSING_TIME>2022-10-05T11:56:49.581767Z</SENSING_TIME>
<HORIZONTAL_CS_CODE>EPSG:32629</HORIZONTAL_CS_CODE>
{sizes}</n1:Level-{self.level[1:]}_Tile_ID>
"""


def write_manifest(root: Path, algorithm: str = "SHA3-256") -> None:
    """List every file of the product with its size and checksum, as ESA does."""
    new = {"SHA3-256": hashlib.sha3_256, "MD5": hashlib.md5}[algorithm]
    objects = "".join(
        f'<dataObject><byteStream size="{path.stat().st_size}">'
        f'<fileLocation href="./{path.relative_to(root).as_posix()}" locatorType="URL"/>'
        f'<checksum checksumName="{algorithm}">{new(path.read_bytes()).hexdigest().upper()}'
        "</checksum></byteStream></dataObject>\n"
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "manifest.safe"
    )
    text = f'<xfdu:XFDU xmlns:xfdu="urn:ccsds:schema:xfdu:1">{objects}</xfdu:XFDU>'
    (root / "manifest.safe").write_text(text)


def band_file(root: Path, band: str, distance: int = 10) -> Path:
    """The file of one band of a product that was written here."""
    (path,) = root.glob(f"GRANULE/*/IMG_DATA/R{distance}m/*_{band}_{distance}m.jp2")
    return path
