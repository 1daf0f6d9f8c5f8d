"""Two runs over the same scenes: where and when their masks differ."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from flightsw.archive.agreement import Agreement
from flightsw.errors import UsageError
from telecommands.failure import reason_of

UNKNOWN: Final = "unknown"
SEASONS: Final = ("winter", "spring", "summer", "autumn")

_BINS: Final = 20
_MOST: Final = 12
_NORTH: Final = "N"  # the first latitude band of the northern hemisphere


@dataclass(frozen=True)
class ComparedScene:
    """A scene of both runs: where its products are in each run's folder, and its figures."""

    name: str
    tile: str
    sensed_at: str
    folder: str
    agreement: Agreement


@dataclass
class Group:
    """The figures of some scenes together; agreement is weighted by pixels."""

    scenes: int = 0
    pixels: int = 0
    disagreeing: int = 0
    difference: float = 0.0

    def add(self, found: Agreement) -> None:
        """Count a scene."""
        self.scenes += 1
        self.pixels += found.pixels
        self.disagreeing += found.only_this + found.only_other
        self.difference += found.this - found.other

    @property
    def agreement(self) -> float | None:
        """Share of the pixels on which both agree, 0 to 1."""
        return 1 - self.disagreeing / self.pixels if self.pixels else None

    @property
    def mean_difference(self) -> float:
        """Mean contaminated share of this run less that of the other."""
        return self.difference / self.scenes if self.scenes else 0.0


@dataclass
class RunComparison:
    """Sums over scenes that are added one by one; a fixed number of scenes is held.

    Histograms count scenes by contaminated share, 20 bins from 0 to 1; ``joint`` by this run's bin
    and the other's.
    """

    surfaces: Mapping[str, str] = field(default_factory=dict)
    total: Group = field(default_factory=Group)
    tiles: dict[str, Group] = field(default_factory=lambda: defaultdict(Group))
    seasons: dict[str, Group] = field(default_factory=lambda: defaultdict(Group))
    by_surface: dict[str, Group] = field(default_factory=lambda: defaultdict(Group))
    joint: list[list[int]] = field(default_factory=lambda: [[0] * _BINS for _ in range(_BINS)])
    _differing: list[tuple[float, str, ComparedScene]] = field(default_factory=list)

    def add(self, scene: ComparedScene) -> None:
        """Count a scene."""
        found = scene.agreement
        for group in (
            self.total,
            self.tiles[scene.tile or UNKNOWN],
            self.seasons[season_of(scene.sensed_at, scene.tile)],
            self.by_surface[self.surfaces.get(scene.tile, UNKNOWN)],
        ):
            group.add(found)
        self.joint[_bin(found.this)][_bin(found.other)] += 1
        share = abs(found.this - found.other)
        if (agreement := found.agreement) is not None:
            share = 1 - agreement
        heapq.heappush(self._differing, (share, scene.folder, scene))
        if len(self._differing) > _MOST:
            heapq.heappop(self._differing)

    @property
    def this(self) -> list[int]:
        """Scenes of this run by contaminated share."""
        return [sum(row) for row in self.joint]

    @property
    def other(self) -> list[int]:
        """Scenes of the other run by contaminated share."""
        return [sum(column) for column in zip(*self.joint, strict=True)]

    def most_differing(self) -> list[ComparedScene]:
        """The scenes that differ on the largest share of their pixels, the largest first."""
        return [scene for _, _, scene in sorted(self._differing, reverse=True)]


def compare_runs(scenes: Iterable[ComparedScene], surfaces: Mapping[str, str]) -> RunComparison:
    """Add all scenes."""
    comparison = RunComparison(surfaces)
    for scene in scenes:
        comparison.add(scene)
    return comparison


def season_of(sensed_at: str, tile: str) -> str:
    """The season of an ISO time, by the hemisphere of the tile's latitude band.

    Winter is December to February in the north, June to August in the south.
    """
    if len(sensed_at) < 7 or not sensed_at[5:7].isdigit():
        return UNKNOWN
    quarter = int(sensed_at[5:7]) % 12 // 3
    is_north = len(tile) < 4 or tile[-3] >= _NORTH
    return SEASONS[quarter if is_north else (quarter + 2) % 4]


def read_surfaces(path: Path) -> dict[str, str]:
    """Surfaces by tile, from lines ``T32TQM,forest``; raises :class:`UsageError`."""
    surfaces = {}
    try:
        for line in path.read_text("utf-8").splitlines():
            if line.strip() and not line.startswith("#"):
                tile, separator, surface = line.partition(",")
                if not separator or not surface.strip():
                    raise ValueError(f"{line!r} is not TILE,SURFACE")
                surfaces[f"T{tile.strip().upper().removeprefix('T')}"] = surface.strip()
    except (OSError, ValueError) as error:
        cause = f"cannot be read as a list of surfaces ({reason_of(error)})"
        raise UsageError(path, cause, "Give lines such as T32TQM,forest") from error
    return surfaces


def _bin(share: float) -> int:
    return min(int(share * _BINS), _BINS - 1)
