"""``package.json``: what a model package says of itself, typed and checked."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import msgspec

from flightsw import sentinel_2
from flightsw.errors import PackageInvalid

LEVELS: Final = ("L1C", "L2A")
CLEAR: Final = "clear"

_ENCODER_REDUCTION: Final = 32  # the encoder halves five times
_CURE: Final = "Compile the model again, or install an intact package"


class Quantisation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Real value = (int8 - ``zero_point``) * ``scale``."""

    scale: float
    zero_point: int

    def as_pair(self) -> tuple[float, int]:
        """Scale and zero point, as a manifest holds them."""
        return self.scale, self.zero_point


class TrainingData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One source of tiles that the weights learnt from; ``regions`` says which part of it."""

    source: str
    licence: str
    regions: str


class Teacher(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The network whose answers were learnt."""

    name: str
    licence: str


class PackageDescription(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of ``package.json``.

    The input's real value is reflectance, (DN + offset) / ``quantification``,
    of ``bands`` in the order of the network's channels.  ``measured`` holds the
    figures of the evaluation that the package was released with, shares 0 to 1.
    """

    name: str
    version: str
    bands: tuple[str, ...]
    levels: tuple[str, ...]
    quantification: float
    input: Quantisation
    output: Quantisation
    classes: tuple[str, ...]
    tile_size: int
    stride: int
    ground_sample_distances: tuple[int, ...]
    licence: str
    training_data: tuple[TrainingData, ...]
    teacher: Teacher | None
    measured: dict[str, float]

    def as_text(self) -> str:
        """For people, a fact a line."""
        distances = ", ".join(map(str, self.ground_sample_distances))
        teacher = [f"{self.teacher.name} ({self.teacher.licence})"] if self.teacher else []
        facts = [
            ("bands", " ".join(self.bands)),
            ("made for", f"{', '.join(self.levels)} at {distances} m"),
            ("classes", ", ".join(self.classes)),
            ("tiles", f"{self.tile_size} pixels, {self.stride} apart"),
            ("licence", self.licence),
            *(("teacher", name) for name in teacher),
            *(("learnt from", f"{one.source} ({one.licence})") for one in self.training_data),
            *(("measured", f"{name} {value:.4g}") for name, value in self.measured.items()),
        ]
        return "\n".join(f"  {name:<12} {value}" for name, value in facts)


def read_description(path: Path) -> PackageDescription:
    """Read ``package.json``; :class:`PackageInvalid` tells ``key``, ``expected``, ``found``."""
    try:
        description = msgspec.json.decode(path.read_bytes(), type=PackageDescription)
    except OSError as error:
        raise PackageInvalid(path, f"cannot be read ({error.strerror})", _CURE) from error
    except msgspec.DecodeError as error:
        expected, _, place = str(error).partition(" - at ")
        key = place.strip("`").removeprefix("$.") or "the document"
        raise PackageInvalid(
            path, str(error), _CURE, key=key, expected=expected, found="another type"
        ) from error
    _check(path, description)
    return description


def refuse(path: Path, key: str, expected: object, found: object) -> PackageInvalid:
    """The error for a value that is not what it must be."""
    return PackageInvalid(
        path,
        f"{key} must be {expected}, found {found}",
        _CURE,
        key=key,
        expected=str(expected),
        found=str(found),
    )


def _check(path: Path, told: PackageDescription) -> None:
    known = ", ".join(sentinel_2.BANDS)
    rules = (
        (
            "bands",
            _distinct(told.bands, sentinel_2.BANDS),
            f"distinct bands of {known}",
            told.bands,
        ),
        ("levels", _distinct(told.levels, LEVELS), f"distinct levels of {LEVELS}", told.levels),
        ("classes", told.classes[:1] == (CLEAR,), f"{CLEAR!r} first", told.classes),
        ("classes", len(set(told.classes)) == len(told.classes) > 1, "distinct", told.classes),
        (
            "tile_size",
            told.tile_size > 0 and told.tile_size % _ENCODER_REDUCTION == 0,
            f"a multiple of {_ENCODER_REDUCTION}",
            told.tile_size,
        ),
        ("stride", 0 < told.stride <= told.tile_size, f"1 to {told.tile_size}", told.stride),
        (
            "ground_sample_distances",
            bool(told.ground_sample_distances) and min(told.ground_sample_distances) > 0,
            "metres above 0",
            told.ground_sample_distances,
        ),
        (
            "quantification",
            math.isfinite(told.quantification) and told.quantification > 0,
            "above 0",
            told.quantification,
        ),
        *_quantisation_rules("input", told.input),
        *_quantisation_rules("output", told.output),
    )
    for key, holds, expected, found in rules:
        if not holds:
            raise refuse(path, key, expected, found)


def _quantisation_rules(side: str, told: Quantisation) -> tuple[tuple[str, bool, str, object], ...]:
    return (
        (f"{side}.scale", math.isfinite(told.scale) and told.scale > 0, "above 0", told.scale),
        (f"{side}.zero_point", -128 <= told.zero_point <= 127, "-128 to 127", told.zero_point),
    )


def _distinct(names: tuple[str, ...], known: tuple[str, ...]) -> bool:
    return bool(names) and len(set(names)) == len(names) and set(names) <= set(known)
