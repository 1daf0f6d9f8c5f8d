"""The rows of a benchmark: which engines, with which settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from msgspec.structs import replace

from flightsw.config import DimcSettings, Settings, TwinSettings
from telecommands.dictionary import EngineName


@dataclass(frozen=True)
class Subject:
    """One engine to measure; ``description`` states what is particular about its settings."""

    title: str
    engine: EngineName
    settings: Settings
    description: str

    @property
    def twin(self) -> TwinSettings | None:
        """The timing that a simulated card reproduces, if it does."""
        return self.settings.dimc.twin if self.engine == "dimc" else None

    @property
    def computes(self) -> bool:
        """Whether the answers are the network's: a twin may leave them out."""
        return self.twin is None or self.twin.compute


def subjects(
    names: Sequence[EngineName], settings: Settings, *, baseline: bool = False
) -> list[Subject]:
    """The engines as they are set.

    The card also brings its twin at the reference latencies; torch on the CPU, if the
    ``baseline`` is wanted, also the reference's, whose windows take seconds each.
    """
    found = []
    for name in names:
        description = "as set"
        if name == "dimc":
            description += f", card {settings.dimc.card}, {settings.dimc.arrangement}"
        found.append(Subject(name, name, settings, description))
        if name == "dimc":
            found += [_twin(settings, *twin) for twin in _TWINS]
        if name == "torch-cpu" and baseline:
            found.append(_baseline(settings))
    return found


def blocking(settings: Settings) -> Settings:
    """The same settings with one batch at a time in the card, as the reference ran it."""
    return replace(settings, dimc=replace(settings.dimc, double_buffer=False))


_TWINS: Final[tuple[tuple[str, float, Literal["spatial", "batch"]], ...]] = (
    ("twin, spatial", 0.94, "spatial"),
    ("twin, batch of 4", 0.47, "batch"),
)
"""The reference's measured latency (ms a tile), and what it expects of four tiles on four cores."""


def _baseline(settings: Settings) -> Subject:
    """Windows of 2,048 pixels that overlap by 128."""
    torch = replace(settings.torch, tile_size=2048, overlap=128)
    pipeline = replace(settings.pipeline, queue_depth=1)  # a window takes 67 MB
    chosen = replace(settings, torch=torch, pipeline=pipeline)
    return Subject("torch-cpu, windows of 2,048", "torch-cpu", chosen, "the reference's baseline")


def _twin(
    settings: Settings, title: str, latency_ms: float, arrangement: Literal["spatial", "batch"]
) -> Subject:
    twin = TwinSettings(latency_ms, compute=False)
    dimc = DimcSettings(card="simulator", arrangement=arrangement, twin=twin)
    description = f"simulator at {latency_ms} ms a tile, computing nothing"
    return Subject(title, "dimc", replace(settings, dimc=dimc), description)
