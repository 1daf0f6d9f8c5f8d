"""The mask as a 1-bit GeoTIFF and the class map as a coloured one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

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
from flightsw.scene.scene import SceneMetadata

CLASS_COLOURS: Final = ((139, 64, 0), (220, 220, 220), (180, 180, 180), (60, 60, 60))
"""RGB of clear, thick cloud, thin cloud and cloud shadow, as CloudSEN12 draws them."""

_MASK_STRIP: Final = 128  # rows; larger strips compress 3 % better and hold more memory
_CLASS_TILE: Final = 512
_CACHE_BYTES: Final = 4 << 20  # rows are written once, from top to bottom


class MaskGeotiff:
    """``cloud_mask.tif``: 1 bit a pixel (1 = contaminated), CCITT G4, no data as internal mask."""

    suffixes = ("cloud_mask.tif",)

    def __init__(self, folder: Path, scene: SceneMetadata, context: ProductContext) -> None:
        self._path = folder / self.suffixes[0]
        self._blocks = RowBlocks(scene.height, _MASK_STRIP)
        self._image = _Geotiff(
            scene,
            context,
            meaning="0 clear, 1 contaminated; no data is masked out",
            options={"nbits": 1, "compress": "CCITTFAX4", "blockysize": _MASK_STRIP},
        )

    def write(self, rows: FinishedRows) -> None:
        """Compress the strips that these rows complete."""
        for top, (mask,) in self._blocks.add(rows.mask):
            self._image.write(top, (mask == CONTAMINATED).view(np.uint8))
            self._image.write_mask(top, (mask != NO_DATA).view(np.uint8) * np.uint8(255))

    def finish(self, summary: SceneSummary) -> tuple[str, ...]:  # noqa: ARG002
        """Put the file on disk."""
        self._image.save(self._path)
        return ()

    def close(self) -> None:
        """Give the memory back."""
        self._image.close()


class ClassGeotiff:
    """``cloud_classes.tif``: uint8 class index, 255 no data, DEFLATE tiles, colour table."""

    suffixes = ("cloud_classes.tif",)

    def __init__(self, folder: Path, scene: SceneMetadata, context: ProductContext) -> None:
        self._path = folder / self.suffixes[0]
        self._blocks = RowBlocks(scene.height, _CLASS_TILE)
        self._image = _Geotiff(
            scene,
            context,
            meaning=", ".join(f"{index} {name}" for index, name in enumerate(context.classes)),
            options={
                "compress": "DEFLATE",
                "tiled": True,
                "blockxsize": _CLASS_TILE,
                "blockysize": _CLASS_TILE,
                "nodata": NO_DATA,
                "photometric": "palette",
            },
        )
        self._image.write_colours(dict(enumerate(CLASS_COLOURS[: len(context.classes)])))

    def write(self, rows: FinishedRows) -> None:
        """Compress the tiles that these rows complete."""
        if rows.classes is None:
            raise ValueError("a class map was chosen, but the rows carry no classes")
        for top, (classes,) in self._blocks.add(rows.classes):
            self._image.write(top, classes)

    def finish(self, summary: SceneSummary) -> tuple[str, ...]:  # noqa: ARG002
        """Put the file on disk."""
        self._image.save(self._path)
        return ()

    def close(self) -> None:
        """Give the memory back."""
        self._image.close()


class _Geotiff:
    """One compressed band, kept in memory until it is complete.

    GDAL notices a full disk when it closes a file, and then tells nobody.  So
    it writes to memory, where the compressed image is small (a real mask takes
    1 MB or less, pure noise 32 MB), and the bytes reach the disk by writes that are checked.
    """

    def __init__(
        self,
        scene: SceneMetadata,
        context: ProductContext,
        *,
        meaning: str,
        options: Mapping[str, Any],
    ) -> None:
        self._width = scene.width
        self._memory = MemoryFile()
        place = scene.georeference
        georeferenced: dict[str, Any] = {}
        if place is not None:
            georeferenced = {"crs": place.crs, "transform": rasterio.Affine(*place.transform)}
        with _gdal(), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            self._dataset: DatasetWriter = self._memory.open(
                driver="GTiff",
                height=scene.height,
                width=scene.width,
                count=1,
                dtype="uint8",
                **georeferenced,
                **options,
            )
            self._dataset.set_band_description(1, meaning)
            self._dataset.update_tags(
                AREA_OR_POINT="Area",
                TIFFTAG_SOFTWARE=f"flightsw {context.software_version}",
                TIFFTAG_IMAGEDESCRIPTION=f"{scene.name}: {meaning}",
                scene=scene.name,
                model=context.model_id,
                engine=f"{context.engine} {context.precision}",
                fusion=context.fusion,
            )

    def write_colours(self, colours: Mapping[int, tuple[int, int, int]]) -> None:
        with _gdal():
            self._dataset.write_colormap(1, colours)
            self._dataset.colorinterp = (ColorInterp.palette,)

    def write(self, top: int, rows: NDArray[np.uint8]) -> None:
        with _gdal():
            self._dataset.write(rows, 1, window=Window(0, top, self._width, len(rows)))

    def write_mask(self, top: int, rows: NDArray[np.uint8]) -> None:
        with _gdal():
            self._dataset.write_mask(rows, window=Window(0, top, self._width, len(rows)))

    def save(self, path: Path) -> None:
        with _gdal():
            self._dataset.close()
        path.write_bytes(self._memory.getbuffer())
        self._memory.close()

    def close(self) -> None:
        with _gdal():
            self._dataset.close()
        self._memory.close()


def _gdal() -> rasterio.Env:
    return rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_CACHEMAX=_CACHE_BYTES)
