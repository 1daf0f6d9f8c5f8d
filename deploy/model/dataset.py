"""Real Sentinel-2 tiles, as reflectance, split by region into training, validation and held-out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

BANDS: Final = ("B02", "B03", "B04", "B08")
"""Band order of every array in this folder."""

T29UNU_TRAINING_COLUMNS: Final = 915
"""Columns of the T29UNU product that may be trained on; the rest is the test half."""

Part = Literal["training", "validation", "held_out"]

_SPLIT: Final = Path(__file__).with_name("split.toml")
_OFFSETS: Final = {"t29unu_n0400_60m": -1000}
_QUANTIFICATION: Final = 10_000.0
_ROI: Final = re.compile(
    r"(ROIs\d+)(?:_(spring|summer|fall|winter))?(?:_s2)?(?:_cloudy|_cloudFree)?_(\d+)_"
)


@dataclass(frozen=True)
class Tile:
    """One image of a region.

    ``bands`` holds reflectance, float32 ``(C, H, W)`` in the order of ``names``;
    ``valid`` is bool ``(H, W)``, false for pixels without data.
    """

    name: str
    region: str
    level: Literal["l1c", "l2a"]
    ground_sample_distance: int
    names: tuple[str, ...]
    bands: NDArray[np.float32]
    valid: NDArray[np.bool_]

    @property
    def four_bands(self) -> NDArray[np.float32]:
        """Reflectance of :data:`BANDS`, float32 ``(4, H, W)``."""
        return self.bands[[self.names.index(band) for band in BANDS]]


class Split(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Regions that are kept out of training."""

    validation: tuple[str, ...]
    held_out: tuple[str, ...]

    def part_of(self, region: str) -> Part:
        """The part that a region belongs to; regions not listed are training data."""
        if region in self.held_out:
            return "held_out"
        return "validation" if region in self.validation else "training"


def read_split() -> Split:
    """Read ``split.toml``, the one block split of this project."""
    return msgspec.toml.decode(_SPLIT.read_bytes(), type=Split)


def read_tiles(folder: Path) -> Iterator[Tile]:
    """Yield every unlabelled image below ``folder`` (the data folder, with its ``index.json``)."""
    yield from _sen12mscr(folder / "tiles" / "sen12mscr_l1c.npz")
    index = json.loads((folder / "index.json").read_text())
    for name, entry in index.items():
        if not entry["file"].startswith("tiles/") or name.startswith("sen12mscr"):
            continue
        level: Literal["l1c", "l2a"] = "l1c" if entry["level"] == "L1C DN" else "l2a"
        yield _single(name, folder / entry["file"], level)


def reflectance(digital_numbers: NDArray[np.uint16], offset: int) -> NDArray[np.float32]:
    """Reflectance of digital numbers, (DN + offset) / 10000; no data (DN 0) is reflectance 0."""
    value = (digital_numbers.astype(np.float32) + offset) / _QUANTIFICATION
    return np.where(digital_numbers == 0, 0, value).astype(np.float32)


def _single(name: str, path: Path, level: Literal["l1c", "l2a"]) -> Tile:
    with np.load(path) as arrays:
        digital_numbers = arrays["bands"]
    if name == "t29unu_n0400_60m":
        digital_numbers = digital_numbers[:, :, :T29UNU_TRAINING_COLUMNS]
    return Tile(
        name=name,
        region="Boadella" if "Boadella" in name else name,
        level=level,
        ground_sample_distance=60 if name.endswith("60m") else 10,
        names=BANDS,
        bands=reflectance(digital_numbers, _OFFSETS.get(name, 0)),
        valid=(digital_numbers != 0).any(axis=0),
    )


def _sen12mscr(path: Path) -> Iterator[Tile]:
    with np.load(path) as arrays:
        stack, order, names = arrays["bands"], arrays["order"], arrays["name"]
    for digital_numbers, name in zip(stack, names, strict=True):
        yield Tile(
            name=str(name),
            region=_sen12mscr_region(str(name)),
            level="l1c",
            ground_sample_distance=10,
            names=tuple(str(band) for band in order),
            bands=reflectance(digital_numbers, 0),
            valid=(digital_numbers != 0).any(axis=0),
        )


def _sen12mscr_region(name: str) -> str:
    stem = name.rsplit("/", 1)[-1]
    if found := _ROI.search(stem):
        return "_".join(part for part in found.groups() if part)
    return stem.split("_")[0]
