"""The bare decode of a SAFE product's four bands, which everything else is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flightsw.errors import UsageError
from flightsw.scene.band_files import choose_bands
from flightsw.scene.codestream import inspect
from flightsw.scene.fast_jp2 import FastBand
from flightsw.scene.jp2 import Jp2Band
from flightsw.scene.safe import find_product

THREADS: Final = 2
BANDS: Final = ("B02", "B03", "B04", "B08")
_STRIP_ROWS: Final = 1024
_LIMIT_SECONDS: Final = 1800.0


@dataclass(frozen=True)
class BandImages:
    """The four JPEG 2000 files of a product; every ``step``-th of their pixels is wanted."""

    paths: tuple[Path, ...]
    step: int


def band_images(scene: Path, ground_sample_distance: int) -> BandImages:
    """The files that a scene at this distance is decoded from.

    Raises :class:`~flightsw.errors.SceneError`, and :class:`UsageError` if it is not a SAFE.
    """
    root = find_product(scene)
    granules = sorted(root.glob("GRANULE/*/IMG_DATA")) if root else []
    if not granules:
        raise UsageError(scene, "is not a SAFE product", "Give one with its JPEG 2000 files")
    files = choose_bands(granules[0], BANDS, ground_sample_distance)
    step = max(1, ground_sample_distance // files.distance)
    return BandImages(tuple(files.paths[band] for band in BANDS), step)


def decode_strips(images: BandImages, times: int = 1) -> None:
    """Decode by strips with plain glymur and nothing else; the pixels are dropped immediately.

    The threads never wait for each other.
    """
    import glymur  # noqa: PLC0415 - only in the process of a decoder

    height = glymur.Jp2k(images.paths[0]).shape[0]

    def decode(path: Path, top: int) -> None:
        bottom = min(top + _STRIP_ROWS, height)
        glymur.Jp2k(path)[top : bottom : images.step, :: images.step]

    _in_strips(decode, images.paths * times, height)


def decode_strips_fast(images: BandImages, input_step: float) -> None:
    """The same without the bit-planes that a network with input steps of ``input_step`` DN misses.

    Raises :class:`~flightsw.scene.block_coding.UnsupportedCoding` for files that are coded in an
    unusual way.
    """
    step = images.step
    files = {path: inspect(path) for path in images.paths}
    bands = {
        path: FastBand.of(Jp2Band(path, file, slice(0, 1), step), input_step)
        for path, file in files.items()
    }
    image = files[images.paths[0]]

    def decode(path: Path, top: int) -> None:
        rows = -(-(min(top + _STRIP_ROWS, image.height) - top) // step)
        pixels = np.empty((1, rows, -(-image.width // step)), np.uint16)
        bands[path].read(top // step, 0, [pixels])

    _in_strips(decode, images.paths, image.height)


def _in_strips(decode: Callable[[Path, int], None], paths: Iterable[Path], height: int) -> None:
    with ThreadPoolExecutor(THREADS) as threads:
        tasks = [
            threads.submit(decode, path, top)
            for top in range(0, height, _STRIP_ROWS)
            for path in paths
        ]
        for task in tasks:
            task.result(timeout=_LIMIT_SECONDS)


def read_whole_bands(images: BandImages) -> list[NDArray[np.uint16]]:
    """Each band whole with rasterio, a thread a band, :data:`THREADS` at a time."""
    import rasterio  # noqa: PLC0415 - only in the process of a decoder

    def read(path: Path) -> NDArray[np.uint16]:
        with rasterio.open(path) as file:
            size = tuple(-(-side // images.step) for side in file.shape)
            pixels: NDArray[np.uint16] = file.read(1, out_shape=size)
            return pixels

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(read, images.paths, timeout=_LIMIT_SECONDS))
