"""The figures of a model card: what ``deploy.model.judge`` measures, as JSON."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Interval(msgspec.Struct, frozen=True):
    """A figure over all pixels of some tiles, and its 95 % interval over draws of the tiles."""

    value: float
    low: float
    high: float


class LabelledRow(msgspec.Struct, frozen=True):
    """A network on an image that people labelled; a figure is None if nothing can be counted.

    ``lenient_f2`` leaves out what lies within two pixels of an edge of the labels.
    """

    image: str
    metres: int
    part: str
    network: str
    f2: float | None
    lenient_f2: float | None
    iou: float | None
    clear_kept: float | None
    shadow_found: float | None


class SurfaceRow(msgspec.Struct, frozen=True):
    """What a network keeps clear of a surface on cloud-free tiles, kept out or not."""

    surface: str
    kept_out: bool
    network: str
    tiles: int
    pixels: int
    clear_kept: Interval


class Failure(msgspec.Struct, frozen=True):
    """A square of an image in which the release is wrong; ``row``, ``column``, ``side`` in pixels.

    The shares are of the pixels of which people decided whether they are contaminated.
    """

    image: str
    metres: int
    part: str
    row: int
    column: int
    side: int
    missed: float
    false_alarms: float


class ScaleRow(msgspec.Struct, frozen=True):
    """A network against the teacher on the tiles of a scale that were kept out."""

    metres: int
    network: str
    tiles: int
    f2: Interval
    agreement: Interval


class BorderRow(msgspec.Struct, frozen=True):
    """Agreement with the teacher within 32 pixels of a tile's border, and further inside."""

    network: str
    tiles: int
    border: Interval
    interior: Interval


class OptionRow(msgspec.Struct, frozen=True):
    """Threshold and buffer, and what they give on the labelled images that were kept out."""

    threshold_percent: int | None
    buffer_pixels: int
    image: str
    f2: float
    clear_kept: float


class Calibration(msgspec.Struct, frozen=True):
    """Expected calibration error of the tiles kept out, without and with the temperature."""

    temperature: float
    pixels: int
    raw: float
    calibrated: float


class Precision(msgspec.Struct, frozen=True):
    """Share of the pixels of the tiles kept out on which INT8 and FP32 agree."""

    tiles: int
    mean: float
    worst: float


class ExperienceRow(msgspec.Struct, frozen=True):
    """Images of a kind, of places kept out, and the share that is outside the experience.

    ``mixed`` are the places with two images or more, whose images count as one scene.
    """

    kind: str
    images: int
    places: int
    outside: Interval
    mixed: int
    mixed_outside: Interval


class RealRow(msgspec.Struct, frozen=True):
    """A real scene of a ground that was not taught, and its distance; 1 is the limit."""

    image: str
    distance: float
    outside: bool


class Card(msgspec.Struct, frozen=True):
    """All figures of one run; ``model_id`` is that of the release they are about."""

    model_id: str
    date: str
    machine: str
    labelled: tuple[LabelledRow, ...]
    surfaces: tuple[SurfaceRow, ...]
    failures: tuple[Failure, ...]
    scales: tuple[ScaleRow, ...]
    borders: tuple[BorderRow, ...]
    options: tuple[OptionRow, ...]
    calibration: Calibration
    precision: Precision
    experience: tuple[ExperienceRow, ...] = ()
    real: tuple[RealRow, ...] = ()


def read_card(path: Path) -> Card:
    """Read the figures; :class:`msgspec.ValidationError` if the file holds others."""
    return msgspec.json.decode(path.read_bytes(), type=Card)
