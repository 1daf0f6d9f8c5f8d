"""What the pipeline passes to the products: finished rows, then the scene's figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

CLEAR: Final = 0
CONTAMINATED: Final = 1
NO_DATA: Final = 255


@dataclass(frozen=True)
class FinishedRows:
    """Rows of the scene that no later tile can change.

    ``digital_numbers`` uint16 ``(bands, rows, width)`` in the scene's band
    order, None if the scene is read in panels; ``mask`` uint8 ``(rows, width)``:
    0 clear, 1 contaminated, 255 no data; ``classes`` uint8 ``(rows, width)``
    class index or 255, None if the model has only two classes; ``probability``
    uint8 ``(rows, width)``: 0 to 100 per cent or 255, None unless it was requested.
    The arrays are valid during the call only.
    """

    top: int
    digital_numbers: NDArray[np.uint16] | None
    mask: NDArray[np.uint8]
    classes: NDArray[np.uint8] | None
    probability: NDArray[np.uint8] | None = None

    @property
    def bands(self) -> NDArray[np.uint16]:
        """The digital numbers; raises :class:`ValueError` if there are none."""
        if self.digital_numbers is None:
            raise ValueError("the bands were not kept because the scene was read in panels")
        return self.digital_numbers


class RowSink(Protocol):
    """Takes the finished rows from top to bottom, without gap or overlap."""

    def write(self, rows: FinishedRows) -> None:
        """Take the next rows."""
        ...


class StageTiming(msgspec.Struct, frozen=True):
    """Latency of one stage over the tiles of a scene, in milliseconds."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    sigma: float
    max: float


class Experience(msgspec.Struct, frozen=True):
    """How far a scene is from the sound scenes whose histograms the model package stores.

    ``distance`` above 1: the scene is ``outside``.  ``towards`` names the strange scenes that lie
    in its direction, which need not be what it is.  ``pixels`` were counted.
    """

    distance: float
    outside: bool
    towards: str
    pixels: int

    @property
    def remark(self) -> str:
        """What follows for the mask, in words; "" for a scene like the sound ones."""
        if not self.outside:
            return ""
        return (
            "the scene is outside the model's experience, so its mask may be wrong: its distance"
            f" from normal scenes is {self.distance:.2f} times the limit; it most resembles:"
            f" {self.towards}"
        )


class SceneSummary(msgspec.Struct, frozen=True):
    """The figures of one processed scene.

    ``pixels_by_class`` counts valid pixels by class name (``clear`` and
    ``contaminated``, and the model's classes if it has more than two);
    ``stages`` by stage name; seconds are wall-clock durations.
    ``card_busy_share`` is busy time over inference time (None without a
    reading).  ``paused_seconds`` the engine rested, for the power budget or its temperature.
    ``remarks`` say in words where the digital numbers contradict the metadata.  ``experience`` is
    None if it is not known: the package has no histograms of sound scenes, or the scene has too
    few valid pixels.
    """

    valid_pixels: int
    no_data_pixels: int
    pixels_by_class: Mapping[str, int]
    tiles: int
    tiles_without_data: int
    fusion: str
    seconds: float
    inference_seconds: float
    stages: Mapping[str, StageTiming]
    card_busy_share: float | None = None
    energy_joules: float | None = None
    temperature_celsius: float | None = None
    paused_seconds: float = 0.0
    remarks: tuple[str, ...] = ()
    experience: Experience | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """The remarks, and what follows from the experience."""
        unlike = self.experience.remark if self.experience else ""
        return (*self.remarks, *filter(None, (unlike,)))

    @property
    def contaminated_share(self) -> float:
        """Contaminated pixels as a share of the valid ones, 0 to 1."""
        return self.pixels_by_class["contaminated"] / self.valid_pixels

    @property
    def tiles_per_second(self) -> float:
        """Tiles that reached the card over the inference time."""
        reached = self.tiles - self.tiles_without_data
        return reached / self.inference_seconds if self.inference_seconds else 0.0
