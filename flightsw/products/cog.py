"""Mask and cloud probability as cloud-optimised GeoTIFFs (COG), for GIS programs."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Final

from rasterio import shutil
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from flightsw.products.contents import CLEAR, CONTAMINATED, NO_DATA, FinishedRows
from flightsw.products.geotiff import CLASS_COLOURS, GeotiffProduct, gdal
from flightsw.products.kinds import ProductContext
from flightsw.scene.scene import SceneMetadata

MASK_COLOURS: Final = {CLEAR: CLASS_COLOURS[0], CONTAMINATED: CLASS_COLOURS[1]}
"""RGB by value of the mask; no data is transparent."""

_BLOCK: Final = 512
_ROWS: Final[dict[str, Any]] = {
    "tiled": True,
    "blockxsize": _BLOCK,
    "compress": "DEFLATE",
    "zlevel": 1,  # only until the COG is made
    "nodata": NO_DATA,
}


class CogProduct(GeotiffProduct):
    """uint8 in tiles of 512 x 512 pixels, DEFLATE, 255 no data, with overviews.

    A COG has its overviews before its pixels, so the rows are kept compressed until the last one
    has come: a few MB of a real mask.
    """

    _block_rows = _BLOCK
    _options = _ROWS
    _overviews: str

    def _save(self, complete: MemoryFile) -> None:
        with MemoryFile() as cog, gdal(), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            shutil.copy(
                complete.name,
                cog.name,
                driver="COG",
                blocksize=_BLOCK,
                compress="DEFLATE",
                overview_resampling=self._overviews,
            )
            complete.close()
            super()._save(cog)


class MaskCog(CogProduct):
    """``cloud_mask_cog.tif``: 0 clear, 1 contaminated, 255 no data, with a colour table."""

    suffixes = ("cloud_mask_cog.tif",)
    _title = "Cloud mask"
    _options = _ROWS | {"photometric": "palette"}
    _overviews = "NEAREST"

    def __init__(self, folder: Path, scene: SceneMetadata, context: ProductContext) -> None:
        super().__init__(folder, scene, context)
        with gdal():
            self._dataset.write_colormap(1, MASK_COLOURS)

    def write(self, rows: FinishedRows) -> None:
        """Compress the tiles that these rows complete."""
        self._compress(rows.mask)

    def _meaning(self, context: ProductContext) -> str:  # noqa: ARG002
        return "0 clear, 1 contaminated, 255 no data"


class ProbabilityCog(CogProduct):
    """``cloud_probability.tif``: per cent, 0 to 100."""

    suffixes = ("cloud_probability.tif",)
    _title = "Cloud probability"
    _overviews = "AVERAGE"

    def write(self, rows: FinishedRows) -> None:
        """Compress the tiles that these rows complete."""
        if rows.probability is None:
            raise ValueError("the cloud probability was requested, but the rows have none")
        self._compress(rows.probability)

    def _meaning(self, context: ProductContext) -> str:  # noqa: ARG002
        return "probability of cloud or shadow in per cent, 255 no data"
