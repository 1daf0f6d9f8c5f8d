"""``package.json``: what a model package says about itself, typed and checked."""

from __future__ import annotations

import math
from operator import attrgetter
from pathlib import Path
from typing import Final

import msgspec

from flightsw import sentinel_2
from flightsw.dimc.compiled_model import read_json
from flightsw.errors import PackageInvalid

LEVELS: Final = ("L1C", "L2A")
CLEAR: Final = "clear"

_ENCODER_REDUCTION: Final = 32  # the encoder halves five times


class Quantisation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Real value = (int8 - ``zero_point``) * ``scale``."""

    scale: float
    zero_point: int

    def as_pair(self) -> tuple[float, int]:
        """Scale and zero point, as a manifest holds them."""
        return self.scale, self.zero_point


class TrainingData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One source of the training tiles; ``regions`` says which part of it."""

    source: str
    licence: str
    regions: str


class Teacher(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The network whose answers were the training labels."""

    name: str
    licence: str


class FirstLookTest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which pixels of 80 m are surely contaminated, and how wrong that is.

    Those that the network calls contaminated and whose reflectance in ``band`` is above
    ``least_reflectance``.  As a share they are at most ``largest_excess`` more than the mask's at
    10 and 20 m, on ``images`` of as many places as ``regions`` says.
    """

    band: str
    least_reflectance: float
    largest_excess: float
    images: int
    regions: int


class PackageDescription(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of ``package.json``.

    The input's real value is reflectance, (DN + offset) / ``quantification``,
    of ``bands`` in the order of the network's channels.  Logits are divided by
    ``temperature`` before they become probabilities (Guo et al. 2017, "On calibration of modern
    neural networks"); masks do not depend on it, except blended ones.  ``measured`` holds the
    figures of the evaluation that the package was released with, shares 0 to 1.  ``first_look``
    None: nobody measured how far a first look is from this network's masks, so none stops a scene.
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
    temperature: float = 1.0
    first_look: FirstLookTest | None = None

    def as_text(self) -> str:
        """For people, one fact a line."""
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
    """Read ``package.json``; :class:`PackageInvalid` has the fields key, expected and found."""
    description = read_json(path, PackageDescription)
    _check(path, description)
    return description


def _check(path: Path, model: PackageDescription) -> None:
    size, distances, classes = model.tile_size, model.ground_sample_distances, model.classes
    scales = ("quantification", "input.scale", "output.scale", "temperature")
    zero_points = ("input.zero_point", "output.zero_point")
    known = ", ".join(sentinel_2.BANDS)
    rules = (
        ("bands", _distinct(model.bands, sentinel_2.BANDS), f"distinct bands of {known}"),
        ("levels", _distinct(model.levels, LEVELS), f"distinct levels of {LEVELS}"),
        ("classes", classes[:1] == (CLEAR,), f"names of which {CLEAR!r} is the first"),
        ("classes", len(set(classes)) == len(classes) > 1, "two distinct names at least"),
        (
            "tile_size",
            size > 0 and size % _ENCODER_REDUCTION == 0,
            f"a multiple of {_ENCODER_REDUCTION}",
        ),
        ("stride", 0 < model.stride <= size, f"1 to {size}"),
        ("ground_sample_distances", min(distances, default=0) > 0, "metres above 0"),
        *((key, 0 < attrgetter(key)(model) < math.inf, "above 0") for key in scales),
        (
            "first_look",
            model.first_look is None
            or (model.first_look.band in model.bands and 0 <= model.first_look.largest_excess <= 1),
            "a band of the network, and an excess from 0 to 1",
        ),
        *((key, -128 <= attrgetter(key)(model) <= 127, "-128 to 127") for key in zero_points),
    )
    for key, holds, expected in rules:
        if not holds:
            raise PackageInvalid.wrong(path, key, expected, attrgetter(key)(model))


def _distinct(names: tuple[str, ...], known: tuple[str, ...]) -> bool:
    return bool(names) and len(set(names)) == len(names) and set(names) <= set(known)
