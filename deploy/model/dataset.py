"""Real Sentinel-2 tiles, as reflectance, split by region into training, validation and held-out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from deploy.model.arrays import read_arrays
from flightsw import sentinel_2
from flightsw.errors import UsageError

BANDS: Final = ("B02", "B03", "B04", "B08")
"""The bands of the shipped release; every image has them, as the teacher needs them."""

_ORDER: Final = (*BANDS, *(band for band in sentinel_2.BANDS if band not in BANDS))

TAUGHT_CLASSES: Final = ("clear", "cloud", "shadow")
"""Classes that a teacher and people distinguish, in the order of all probabilities here."""

T29UNU_TRAINING_COLUMNS: Final = 915
"""Columns of the T29UNU product that may be trained on; the rest is the test half."""

SOURCES: Final = Path(__file__).with_name("sources.toml")
"""The images of the shipped release."""

SPLIT: Final = Path(__file__).with_name("split.toml")
"""The block split of the shipped release."""

Part = Literal["training", "validation", "held_out"]
Level = Literal["l1c", "l2a"]
TaughtClass = Literal["clear", "cloud", "shadow"]

_Read = TypeVar("_Read")

_QUANTIFICATION: Final = 10_000.0


@dataclass(frozen=True)
class Tile:
    """One image of a region.

    ``bands`` holds reflectance, float32 ``(C, H, W)`` in the order of ``names``;
    ``valid`` is bool ``(H, W)``, false for pixels without data.  ``allowed``, float32
    ``(3, H, W)`` from 0 to 1, is what people say: the share of a pixel that each of
    :data:`TAUGHT_CLASSES` may have; None if people did not label the tile.
    """

    name: str
    region: str
    level: Level
    ground_sample_distance: int
    names: tuple[str, ...]
    bands: NDArray[np.float32]
    valid: NDArray[np.bool_]
    allowed: NDArray[np.float32] | None = None

    @property
    def four_bands(self) -> NDArray[np.float32]:
        """Reflectance of :data:`BANDS`, float32 ``(4, H, W)``."""
        return self.of(BANDS)

    def of(self, bands: tuple[str, ...]) -> NDArray[np.float32]:
        """Reflectance of ``bands``, float32 ``(C, H, W)``; raises :class:`UsageError`."""
        return chosen(self.name, self.names, self.bands, bands)


def in_order(bands: Iterable[str]) -> tuple[str, ...]:
    """Bands in the order of every array in this folder: those of :data:`BANDS` first.

    Raises :class:`UsageError` unless they are different bands of Sentinel-2.
    """
    given = tuple(bands)
    if not given or len({*given}) < len(given) or not {*given} <= {*_ORDER}:
        cause = f"must be different bands of Sentinel-2, got {', '.join(given) or 'none'}"
        raise UsageError("the bands", cause, "Give names such as B02,B03,B11")
    return tuple(sorted(given, key=_ORDER.index))


def chosen(
    image: str, names: tuple[str, ...], planes: NDArray[np.float32], bands: tuple[str, ...]
) -> NDArray[np.float32]:
    """Of an image's ``planes``, which are called ``names``, those of ``bands``, in their order.

    Raises :class:`UsageError` if the image lacks one of them.
    """
    if names == bands:
        return planes
    if missing := [band for band in bands if band not in names]:
        cause = f"lacks {', '.join(missing)}; it has {', '.join(names)}"
        raise UsageError(image, cause, "Label the images again with these --bands, or give others")
    return planes[[names.index(band) for band in bands]]


def order_of(arrays: Mapping[str, NDArray[Any]]) -> tuple[str, ...]:
    """The bands of an image's file: its ``order``, :data:`BANDS` without one."""
    return tuple(str(band) for band in arrays["order"]) if "order" in arrays else BANDS


class Split(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Regions that are kept out of training."""

    validation: tuple[str, ...]
    held_out: tuple[str, ...]

    def part_of(self, region: str) -> Part:
        """The part that a region belongs to; regions not listed are training data."""
        if region in self.held_out:
            return "held_out"
        return "validation" if region in self.validation else "training"


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of a table of sources; ``sources.toml`` describes the fields."""

    files: str
    level: Level
    ground_sample_distance: int = 10
    offset: int = 0
    order: tuple[str, ...] = BANDS
    further: dict[str, tuple[str, ...]] = {}
    region: str | None = None
    region_pattern: str | None = None
    columns: tuple[int, int] | None = None
    without: tuple[str, ...] = ()
    labels: str = "label"
    classes: dict[int, tuple[TaughtClass, ...]] = {}
    everywhere: tuple[TaughtClass, ...] = ()


class Sources(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of sources."""

    source: tuple[Source, ...]


def read_split(path: Path = SPLIT) -> Split:
    """Read a block split; raises :class:`UsageError` if the file is not one."""
    return _read_toml(path, Split)


def read_tiles(folder: Path, sources: Path = SOURCES) -> Iterator[Tile]:
    """Every image below ``folder`` that the table ``sources`` names.

    Raises :class:`UsageError` if ``folder`` has no such image, or if a file is not as stated.
    """
    return tiles_of(folder, read_sources(sources))


def read_sources(path: Path) -> Sources:
    """Read a table of sources; raises :class:`UsageError` if the file is not one."""
    return _read_toml(path, Sources)


def tiles_of(folder: Path, sources: Sources) -> Iterator[Tile]:
    """Yield every image below ``folder`` that ``sources`` names, as :func:`read_tiles` does."""
    found = False
    for source in sources.source:
        for path in sorted(folder.glob(source.files)):
            found = True
            yield from _tiles_of(path, source)
    if not found:
        patterns = ", ".join(one.files for one in sources.source)
        raise UsageError(
            folder, "has none of the images of the table of sources", f"It names {patterns}"
        )


def coarser(tile: Tile, factor: int) -> Tile:
    """The tile with pixels ``factor`` times as large: area means; what fills no pixel is cut off.

    A pixel is valid if all of its parts are.
    """
    height, width = (side // factor for side in tile.valid.shape)

    def mean(planes: NDArray[np.float32]) -> NDArray[np.float32]:
        cut = planes[..., : height * factor, : width * factor]
        blocks = cut.reshape(*cut.shape[:-2], height, factor, width, factor)
        return np.asarray(blocks.mean(axis=(-3, -1)), np.float32)

    return replace(
        tile,
        ground_sample_distance=tile.ground_sample_distance * factor,
        bands=mean(tile.bands),
        valid=mean(tile.valid.astype(np.float32)) == 1,
        allowed=None if tile.allowed is None else mean(tile.allowed),
    )


def reflectance(digital_numbers: NDArray[np.uint16], offset: int) -> NDArray[np.float32]:
    """Reflectance of digital numbers, (DN + offset) / 10000; no data (DN 0) is reflectance 0."""
    value = (digital_numbers.astype(np.float32) + offset) / _QUANTIFICATION
    return np.where(digital_numbers == 0, 0, value).astype(np.float32)


def _read_toml(path: Path, kind: type[_Read]) -> _Read:
    try:
        return msgspec.toml.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(path, f"cannot be read: {error}", f"See {SOURCES.parent}") from error


def _tiles_of(path: Path, source: Source) -> Iterator[Tile]:
    labels_of = [source.labels] if source.classes else []
    arrays = read_arrays(path, "bands", *source.further, *labels_of)
    stack = arrays["bands"]
    order = tuple(str(band) for band in arrays["order"]) if "order" in arrays else source.order
    single = stack.ndim == 3
    if not single and (stack.ndim != 4 or "name" not in arrays):
        cause = f"has bands of shape {stack.shape}"
        raise UsageError(path, cause, "Give bands (C, H, W), or (N, C, H, W) and name")
    names = [path.stem] if single else [str(name) for name in arrays["name"]]
    labels = arrays[source.labels] if source.classes else None
    if missing := sorted(set(BANDS).difference(order)):
        raise UsageError(path, f"lacks {', '.join(missing)}", "Give its bands as order in sources")
    if stack.shape[-3] != len(order):
        raise UsageError(
            path,
            f"has {stack.shape[-3]} bands, but its order names {len(order)}",
            "Correct order in sources",
        )
    for array, bands in source.further.items():
        stack = np.concatenate((stack, _repeated(path, array, arrays[array], bands, stack.shape)))
        order += bands
    columns = slice(*source.columns) if source.columns else slice(None)
    for index, (name, digital_numbers) in enumerate(
        zip(names, stack[None] if single else stack, strict=True)
    ):
        if name in source.without:
            continue
        numbers = digital_numbers[..., columns]
        label = None if labels is None else (labels if single else labels[index])[..., columns]
        yield Tile(
            name=name,
            region=_region(name, source),
            level=source.level,
            ground_sample_distance=source.ground_sample_distance,
            names=order,
            bands=reflectance(numbers, source.offset),
            valid=(numbers != 0).any(axis=0),
            allowed=_allowed(label, numbers.shape[1:], source),
        )


def _repeated(
    path: Path,
    array: str,
    planes: NDArray[np.uint16],
    bands: tuple[str, ...],
    shape: tuple[int, ...],
) -> NDArray[np.uint16]:
    """Further bands of a single image at its own pitch: their pixels are repeated, as in flight."""
    factor = shape[-1] // max(planes.shape[-1], 1)
    repeated = planes.repeat(factor, axis=-2).repeat(factor, axis=-1)
    if repeated.shape != (len(bands), *shape[1:]):
        cause = f"has {array} of shape {planes.shape}, beside bands of shape {shape}"
        cure = f"Give one plane for each of {', '.join(bands)}, at a whole part of the image's size"
        raise UsageError(path, cause, cure)
    return repeated


def _region(name: str, source: Source) -> str:
    stem = name.rsplit("/", 1)[-1]
    if source.region_pattern:
        found = re.search(source.region_pattern, stem)
        return "_".join(filter(None, found.groups())) if found else stem.split("_")[0]
    return source.region or stem


def _allowed(
    label: NDArray[np.uint8] | None, shape: tuple[int, ...], source: Source
) -> NDArray[np.float32] | None:
    if label is None and not source.everywhere:
        return None
    allowed = np.zeros((len(TAUGHT_CLASSES), *shape), np.float32)
    for name in source.everywhere:
        allowed[TAUGHT_CLASSES.index(name)] = 1
    if label is not None:
        for value, names in source.classes.items():
            for name in names:
                allowed[TAUGHT_CLASSES.index(name)][label == value] = 1
    return allowed
