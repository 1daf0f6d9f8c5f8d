"""Downlinked products: the files in the receiver's folder, and pictures of them."""

from __future__ import annotations

import hashlib
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import msgspec
import numpy as np
import rasterio
from rasterio.errors import RasterioError

from telecommands.dashboard.points.data import NS_PER_MS
from telecommands.ground.errors import GroundError, UsageError

MOST_LISTED: Final = 1000
"""Products listed at most; the oldest are omitted."""

MOST_PIXELS: Final = 2048
"""A picture's longer side at most: a mask of 10,980 pixels is subsampled."""

SCAN_S: Final = 1.0

_CLEAR: Final = (139, 64, 0)
_CONTAMINATED: Final = (255, 255, 255)
_BLOCK: Final = 1 << 20
KIND_OF_ENDING: Final = {
    "cloud_mask.tif": "geotiff",
    "cloud_mask_cog.tif": "cog",
    "cloud_classes.tif": "classes",
    "cloud_probability.tif": "probability",
    "cloud_mask.npy": "mask",
    "visualization.jpg": "quicklook",
    "stac.json": "stac",
    "report.json": "report",
}
_DRAWN: Final = ("geotiff", "cog", "classes")


class Product(msgspec.Struct, frozen=True):
    """A completely received file, whose SHA-256 was verified."""

    product: str
    unit: str
    job: str
    scene: str
    kind: str
    name: str
    size: int
    received: float
    sha256: str
    image: str | None


class _Seen(NamedTuple):
    unit: str
    job: str
    path: Path
    size: int
    modified: int


class ReceivedProducts:
    """The folder's products, newest first.  ``scan`` is for one thread, the rest for any.

    ``unit`` names the unit whose products these are; empty: those of all units.
    """

    def __init__(self, folder: Path | None, unit: str = "") -> None:
        self._folder = folder
        self._patterns = (f"{unit}/*/[!.]*",) if unit else ("*/*/[!.]*", "*/[!.]*")
        self._known: dict[_Seen, Product] = {}
        self._paths: dict[str, Path] = {}
        self._listed: tuple[Product, ...] = ()

    def listed(self) -> tuple[Product, ...]:
        """The products, newest first."""
        return self._listed

    def path_of(self, product: str) -> Path:
        """The product's file.  Raises :class:`UsageError` for a product that is not listed."""
        path = self._paths.get(product)
        if path is None:
            raise UsageError(f"{product:.80}", "is not a received product", "See /api/products")
        return path

    def run(self, stop: threading.Event) -> None:
        """Scan the folder until ``stop`` is set."""
        while not stop.is_set():
            self.scan(stop)
            stop.wait(SCAN_S)

    def scan(self, stop: threading.Event) -> None:
        """Scan once; new files are hashed, which takes about a second per gigabyte."""
        seen = sorted(self._seen(), key=lambda one: one.modified, reverse=True)[:MOST_LISTED]
        known = {one: self._known.get(one) or _product(one, stop) for one in seen}
        if stop.is_set():
            return
        self._known = {one: product for one, product in known.items() if product is not None}
        self._paths = {product.product: one.path for one, product in self._known.items()}
        self._listed = tuple(self._known.values())

    def _seen(self) -> Iterator[_Seen]:
        if self._folder is None:
            return
        for pattern in self._patterns:  # UNIT/JOB/NAME; of interface version 1 JOB/NAME
            for path in self._folder.glob(pattern):
                try:
                    status = path.lstat()
                except OSError:  # deleted in the meantime
                    continue
                *unit, job, _ = path.relative_to(self._folder).parts
                links = any(one.is_symlink() for one in path.parents[: len(unit) + 1])
                if stat.S_ISREG(status.st_mode) and not links:
                    yield _Seen("".join(unit), job, path, status.st_size, status.st_mtime_ns)


def picture(path: Path) -> tuple[bytes, str]:
    """Bytes and media type of a product's picture.

    A quick-look unchanged; a GeoTIFF mask as PNG: clear brown, contaminated white, no data
    transparent; classes in the file's colours.  Raises :class:`UsageError` for other products,
    :class:`GroundError` for a file that cannot be drawn.
    """
    if _kind(path.name)[0] == "quicklook":
        return _read(path), "image/jpeg"
    if _kind(path.name)[0] not in _DRAWN:
        raise UsageError(path.name, "has no picture", "Download the file itself")
    try:
        return _png(path), "image/png"
    except (RasterioError, OSError) as error:
        cause = f"cannot be drawn ({error!s:.200})"
        raise GroundError(path.name, cause, "Download the file itself") from error


def _png(path: Path) -> bytes:
    with rasterio.open(path) as image:
        scale = min(1.0, MOST_PIXELS / max(image.height, image.width))
        shape = (max(1, round(image.height * scale)), max(1, round(image.width * scale)))
        values = image.read(1, out_shape=shape).astype(np.uint8, copy=False)
        valid = image.read_masks(1, out_shape=shape)
        colours: dict[int, tuple[int, ...]] = {0: _CLEAR, 1: _CONTAMINATED}
        if _kind(path.name)[0] == "classes":
            colours = image.colormap(1)
    table = np.zeros((256, 4), np.uint8)
    for value, (red, green, blue, *_) in colours.items():
        table[value] = (blue, green, red, 255)
    pixels = table[values]
    pixels[..., 3] = np.where(valid > 0, pixels[..., 3], 0)
    done, png = cv2.imencode(".png", pixels)
    if not done:
        raise OSError("the PNG encoder failed")
    return bytes(png)


def _product(seen: _Seen, stop: threading.Event) -> Product | None:
    kind, scene = _kind(seen.path.name)
    sha256 = _sha256(seen.path, stop)
    if sha256 is None:
        return None
    place = f"{seen.unit}/{seen.job}/{seen.path.name}"
    name = hashlib.sha256(place.encode()).hexdigest()[:16]
    drawn = kind == "quicklook" or kind in _DRAWN
    return Product(
        product=name,
        unit=seen.unit,
        job=seen.job,
        scene=scene,
        kind=kind,
        name=seen.path.name,
        size=seen.size,
        received=seen.modified / NS_PER_MS,
        sha256=sha256,
        image=f"/api/products/{name}/image" if drawn else None,
    )


def _kind(name: str) -> tuple[str, str]:
    """Kind and scene, from the suffix and the prefix of a product's name."""
    for suffix, kind in KIND_OF_ENDING.items():
        if name.endswith(suffix):
            return kind, name.removesuffix(suffix).rstrip("_")
    return ("fill", name.partition("_rgb_")[0]) if "_rgb_" in name else ("file", "")


def _sha256(path: Path, stop: threading.Event) -> str | None:
    """The digest; None if the file was deleted or ``stop`` is set."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                if stop.is_set():
                    return None
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(path.name, "does not exist any more", "Receive it again") from error
