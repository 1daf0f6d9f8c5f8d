"""Names and position of a Sentinel-2 product: times, folders, files and map position."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Final, Literal

from telecommands.ground.errors import UsageError

BANDS: Final = ("B02", "B03", "B04", "B08")
"""The bands at 10 m, which every simulated product has."""

COARSER_BANDS: Final[Mapping[int, tuple[str, ...]]] = {
    20: ("B05", "B06", "B07", "B8A", "B11", "B12"),
    60: ("B01", "B09", "B10"),
}
"""The other bands of the instrument by the metres between their pixels (user handbook, table 1)."""

Level = Literal["L2A", "L1C"]
BandChoice = Literal["10m", "all"]

_TILE_ID: Final = re.compile(r"T(0[1-9]|[1-5]\d|60)([C-HJ-NP-X])([A-HJ-NP-Z])([A-HJ-NP-V])")
_BASELINE: Final = re.compile(r"\d\d\.\d\d")
_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ"  # the military grid leaves out I and O
_FIRST_PASS: Final = datetime(2023, 5, 1, 10, 30, 31, tzinfo=timezone.utc)


@dataclass(frozen=True)
class GridPosition:
    """Map position of a tile: EPSG code, zone name and upper left corner in metres."""

    epsg: int
    zone: str
    left: int
    top: int


@dataclass(frozen=True)
class ProductName:
    """The names in a product, derived from its tile, level, baseline and pass."""

    tile_id: str
    level: Level
    baseline: str
    sensed: datetime
    relative_orbit: int = 65
    absolute_orbit: int = 41_000

    @property
    def generated(self) -> datetime:
        """Generation time in the metadata."""
        return self.sensed + timedelta(hours=5, minutes=13)

    @property
    def product(self) -> str:
        """The product's folder without ``.SAFE``."""
        baseline = self.baseline.replace(".", "")
        return (
            f"S2A_MSI{self.level}_{_compact(self.sensed)}_N{baseline}_R{self.relative_orbit:03d}"
            f"_{self.tile_id}_{_compact(self.generated)}"
        )

    @property
    def granule(self) -> str:
        """The one folder under ``GRANULE``."""
        return f"{self.level}_{self.tile_id}_A{self.absolute_orbit:06d}_{_compact(self.sensed)}"

    def bands(self, choice: BandChoice) -> dict[str, int]:
        """The metres between pixels of each band; L2A has no B10, which sees no ground."""
        coarser = COARSER_BANDS if choice == "all" else {}
        distances = dict.fromkeys(BANDS, 10) | {
            band: distance for distance, bands in coarser.items() for band in bands
        }
        if self.level == "L2A":
            distances.pop("B10", None)
        return distances

    def image(self, band: str, distance: int = 10) -> str:
        """A band's path in the product as in the metadata, without ``.jp2``."""
        folder, suffix = (f"R{distance}m/", f"_{distance}m") if self.level == "L2A" else ("", "")
        name = f"{self.tile_id}_{_compact(self.sensed)}_{band}{suffix}"
        return f"GRANULE/{self.granule}/IMG_DATA/{folder}{name}"

    @property
    def has_offset(self) -> bool:
        """Whether digital numbers have an offset: from processing baseline 04.00 on."""
        return self.baseline >= "04.00"

    def identifier(self, kind: Literal["TL", "DS"]) -> str:
        """Identifier of the tile or the datastrip, baseline included."""
        what = f"A{self.absolute_orbit:06d}_{self.tile_id}"
        if kind == "DS":
            what = f"S{_compact(self.sensed)}"
        return (
            f"S2A_OPER_MSI_{self.level}_{kind}_2APS_{_compact(self.generated)}"
            f"_{what}_N{self.baseline}"
        )


def name_product(tile_id: str, level: Level, baseline: str, seed: int) -> ProductName:
    """The product of a summer pass that the seed selects.  Raises :class:`UsageError`."""
    if not _TILE_ID.fullmatch(tile_id):
        raise UsageError(tile_id, "is not a Sentinel-2 tile", "Give a tile such as T32TQM")
    if not _BASELINE.fullmatch(baseline):
        raise UsageError(baseline, "is not a processing baseline", "Give a baseline such as 05.10")
    day = seed % 120
    return ProductName(
        tile_id,
        level,
        baseline,
        _FIRST_PASS + timedelta(days=day),
        absolute_orbit=41_000 + day * 14,
    )


def grid_position(tile_id: str) -> GridPosition:
    """Corner of a tile, from its square of the military grid.

    The 100 km squares' letters follow NGA.STND.0037; tiles start 20 m west and
    40 m north of their square's corner (read from T29UNU).
    """
    matched = _TILE_ID.fullmatch(tile_id)
    if matched is None:
        raise UsageError(tile_id, "is not a Sentinel-2 tile", "Give a tile such as T32TQM")
    zone, band, column, row = matched.groups()
    number, north = int(zone), band >= "N"
    first = "AJS"[(number - 1) % 3]
    easting = (_LETTERS.index(column) - _LETTERS.index(first)) % 24 + 1
    northing = (_LETTERS.index(row) - (0 if number % 2 else 5)) % 20
    latitude = -80 + 8 * _LETTERS[2:].index(band) + 4  # the band's middle
    near = latitude * 1.108 + (0 if north else 100)  # in 100 km
    northing += 20 * round((near - northing) / 20)
    return GridPosition(
        epsg=(32600 if north else 32700) + number,
        zone=f"{zone}{'N' if north else 'S'}",
        left=easting * 100_000 - 20,
        top=(northing + 1) * 100_000 + 40,
    )


def _compact(moment: datetime) -> str:
    return f"{moment:%Y%m%dT%H%M%S}"
