"""The mask as a 1-bit GeoTIFF and the class map as a coloured one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetWriter, MemoryFile
from rasterio.windows import Window

from flightsw.products.contents import CONTAMINATED, NO_DATA, FinishedRows, SceneSummary
from flightsw.products.kinds import ProductContext
from flightsw.products.row_blocks import RowBlocks
from flightsw.scene.scene import Georeference, SceneMetadata

CLASS_COLOURS: Final = ((139, 64, 0), (220, 220, 220), (180, 180, 180), (60, 60, 60))
"""RGB of clear, thick cloud, thin cloud and cloud shadow, as CloudSEN12 draws them."""

_CACHE_BYTES: Final = 4 << 20  # rows are written once, from top to bottom


def grid_options(georeference: Georeference | None) -> dict[str, Any]:
    """The grid as arguments of :func:`rasterio.open`; empty without a georeference."""
    if georeference is None:
        return {}
    return {"crs": georeference.crs, "transform": rasterio.Affine(*georeference.transform)}


class GeotiffProduct:
    """One compressed band, kept in memory until it is complete.

    GDAL notices a full disk when it closes a file, and does not report it.  So it
    writes to memory, and :meth:`finish` writes the bytes to the disk, with its errors
    reported.  Compressed, a real mask takes 1 MB or less, pure noise 32 MB.
    """

    suffixes: tuple[str, ...]
    _title: str
    _block_rows: int
    _options: ClassVar[Mapping[str, Any]]

    def __init__(self, folder: Path, scene: SceneMetadata, context: ProductContext) -> None:
        meaning = self._meaning(context)
        self._path = folder / self.suffixes[0]
        self._blocks = RowBlocks(scene.height, self._block_rows)
        self._width = scene.width
        self._memory = MemoryFile()
        with gdal(), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            self._dataset: DatasetWriter = self._memory.open(
                driver="GTiff",
                height=scene.height,
                width=scene.width,
                count=1,
                dtype="uint8",
                blockysize=self._block_rows,
                **grid_options(scene.georeference),
                **self._options,
            )
            self._dataset.set_band_description(1, meaning)
            self._dataset.update_tags(
                AREA_OR_POINT="Area",
                TIFFTAG_SOFTWARE=f"flightsw {context.software_version}",
                TIFFTAG_IMAGEDESCRIPTION=f"{self._title} of {scene.name} ({meaning})",
                scene=scene.name,
                model=context.model_id,
                engine=f"{context.engine} {context.precision}",
                fusion=context.fusion,
                **_changed_mask(context),
            )

    def finish(self, summary: SceneSummary) -> tuple[str, ...]:  # noqa: ARG002
        """Write the file to the disk."""
        with gdal():
            self._dataset.close()
        self._save(self._memory)
        return ()

    def _save(self, complete: MemoryFile) -> None:
        self._path.write_bytes(complete.getbuffer())
        complete.close()

    def close(self) -> None:
        """Free the memory."""
        with gdal():
            self._dataset.close()
        self._memory.close()

    def _meaning(self, context: ProductContext) -> str:
        raise NotImplementedError

    def _compress(self, rows: NDArray[np.uint8]) -> None:
        """Write the blocks that these rows complete."""
        for top, (values,) in self._blocks.add(rows):
            with gdal():
                self._dataset.write(values, 1, window=self._window(top, values))

    def _window(self, top: int, rows: NDArray[np.uint8]) -> Window:
        return Window(0, top, self._width, len(rows))


class MaskGeotiff(GeotiffProduct):
    """``cloud_mask.tif``: 1 bit a pixel (1 = contaminated), CCITT G4, no data as internal mask."""

    suffixes = ("cloud_mask.tif",)
    _title = "Cloud mask"
    _block_rows = 128  # larger strips compress 3 % better and hold more memory
    _options = {"nbits": 1, "compress": "CCITTFAX4"}  # noqa: RUF012 - the base says ClassVar

    def write(self, rows: FinishedRows) -> None:
        """Compress the strips that these rows complete."""
        for top, (mask,) in self._blocks.add(rows.mask):
            window = self._window(top, mask)
            valid = (mask != NO_DATA).view(np.uint8) * np.uint8(255)
            with gdal():
                self._dataset.write((mask == CONTAMINATED).view(np.uint8), 1, window=window)
                self._dataset.write_mask(valid, window=window)

    def _meaning(self, context: ProductContext) -> str:  # noqa: ARG002
        return "0 clear, 1 contaminated; no data is masked out"


class ClassGeotiff(GeotiffProduct):
    """``cloud_classes.tif``: uint8 class index, 255 no data, DEFLATE tiles, colour table."""

    suffixes = ("cloud_classes.tif",)
    _title = "Class map"
    _block_rows = 512
    _options = {  # noqa: RUF012 - the base says ClassVar
        "compress": "DEFLATE",
        "tiled": True,
        "blockxsize": 512,
        "nodata": NO_DATA,
        "photometric": "palette",
    }

    def __init__(self, folder: Path, scene: SceneMetadata, context: ProductContext) -> None:
        super().__init__(folder, scene, context)
        with gdal():
            colours = dict(enumerate(CLASS_COLOURS[: len(context.classes)]))
            self._dataset.write_colormap(1, colours)
            self._dataset.colorinterp = (ColorInterp.palette,)

    def write(self, rows: FinishedRows) -> None:
        """Compress the tiles that these rows complete."""
        if rows.classes is None:
            raise ValueError("a class map was requested, but the rows have no classes")
        self._compress(rows.classes)

    def _meaning(self, context: ProductContext) -> str:
        return ", ".join(f"{index} {name}" for index, name in enumerate(context.classes))


def _changed_mask(context: ProductContext) -> dict[str, str]:
    """Tags of threshold and buffer, if the mask is not the plain answer of the model."""
    tags = {}
    if context.threshold_percent is not None:
        tags["threshold"] = f"{context.threshold_percent} %"
    if context.buffer_m:
        tags["buffer"] = f"{context.buffer_m:g} m"
    return tags


def gdal() -> rasterio.Env:
    """GDAL with a mask inside the file, and a cache for rows that are written once."""
    return rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_CACHEMAX=_CACHE_BYTES)
