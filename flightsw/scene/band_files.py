"""Which file of a SAFE product holds which band, and at what ground sample distance."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from flightsw.errors import BadMetadata, BandSizeMismatch, MissingBand, SceneNotFound

# Metres between pixels as each band is measured (Sentinel-2 user handbook, table 1).
_NATIVE_DISTANCES: Final[Mapping[str, int]] = {
    **dict.fromkeys(("B02", "B03", "B04", "B08"), 10),
    **dict.fromkeys(("B05", "B06", "B07", "B8A", "B11", "B12"), 20),
    **dict.fromkeys(("B01", "B09", "B10"), 60),
}
_SUBSTITUTES: Final = {"B08": "B8A"}  # the same part of the near infrared, at 20 m
_DISTANCES: Final = (10, 20, 60)
_CURE: Final = "Fetch the product again"


@dataclass(frozen=True)
class BandFiles:
    """One file for each requested band, all at ``distance`` metres."""

    paths: Mapping[str, Path]
    distance: int
    substituted: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def physical(self, band: str) -> str:
        """The band that the file really holds."""
        return self.substituted.get(band, band)


def choose_bands(images: Path, bands: Sequence[str], wanted: int) -> BandFiles:
    """The files below ``IMG_DATA`` for a scene at ``wanted`` metres, all at one distance.

    L2A has one folder each for 10, 20 and 60 m; L1C does not divide them.  The finest
    folder with any of the bands is used and must have all of them; at 20 m and 60 m B8A
    may stand in for B08.  Raises :class:`MissingBand`, or :class:`BadMetadata` if a band
    has several files.
    """
    folders = {
        distance: folder for distance in _DISTANCES if (folder := images / f"R{distance}m").is_dir()
    }
    if not folders:
        return _complete(images, bands, None)
    if wanted == 20 and 20 in folders:
        # Bands at exactly the requested distance are used if the finer ones are incomplete.
        found = _band_files(folders[20], 20)
        fine = _band_files(folders[10], 10) if 10 in folders else {}
        if all(_source(band, found) for band in bands) and not all(band in fine for band in bands):
            return _complete(folders[20], bands, 20)
    for distance, folder in folders.items():
        found = _band_files(folder, distance)
        if any(_source(band, found) if distance > 10 else band in found for band in bands):
            return _complete(folder, bands, distance)
    raise MissingBand(images, f"holds none of the bands {', '.join(bands)}", _CURE)


def _complete(folder: Path, bands: Sequence[str], distance: int | None) -> BandFiles:
    """Every band in one folder; ``distance`` None is the flat folder of an L1C product."""
    found = _band_files(folder, distance)
    paths, substituted = {}, {}
    for band in bands:
        source = _source(band, found) if distance in (20, 60) else band
        if source not in found:
            raise MissingBand(folder, f"lacks band {band}", _CURE, band=band, folder=str(folder))
        paths[band] = found[source]
        if source != band:
            substituted[band] = source
    native = min(_NATIVE_DISTANCES[band] for band in bands)
    distance = distance or native
    remarks = [f"band {used} stands in for band {band}" for band, used in substituted.items()]
    if distance > native:
        remarks.insert(0, f"bands at {distance} m are used: those at {native} m are incomplete")
    return BandFiles(paths, distance, substituted, tuple(remarks))


def _band_files(folder: Path, distance: int | None) -> dict[str, Path]:
    """Files by band name: ``*_B02_10m.jp2``, in a flat folder ``*_B02.jp2``; AWS: ``B02.jp2``."""
    suffix = f"_{distance}m" if distance else ""
    files: dict[str, Path] = {}
    for child in children_of(folder):
        match = re.fullmatch(
            rf"(?:.*_(B\d[\dA]){suffix}|(B\d[\dA]))\.jp2", child.name, re.IGNORECASE
        )
        if match:
            band = (match[1] or match[2]).upper()
            if band in files:
                cause = f"has two files for band {band}: {files[band].name} and {child.name}"
                raise BadMetadata(folder, cause, "Keep one of the files", band=band)
            files[band] = child
    return files


def _source(band: str, found: Mapping[str, Path]) -> str | None:
    """The band's own name or its substitute's, whichever has a file."""
    return next((name for name in (band, _SUBSTITUTES.get(band)) if name in found), None)


def check_sizes(folder: object, sizes: Mapping[str, tuple[int, int]], cure: str) -> None:
    """Raise :class:`BandSizeMismatch` unless all files, by name, have one (width, height)."""
    if len(set(sizes.values())) > 1:
        listed = ", ".join(
            f"{name} is {width} x {height}" for name, (width, height) in sizes.items()
        )
        raise BandSizeMismatch(folder, f"has bands of different sizes: {listed}", cure, sizes=sizes)


def distance_remarks(processed: int, wanted: int) -> tuple[str, ...]:
    """A remark if a scene is not processed at the requested distance."""
    return (f"the scene is processed at {processed} m, not {wanted} m",) * (processed != wanted)


def children_of(folder: Path) -> list[Path]:
    """The content of a folder, sorted by name, without hidden files."""
    try:
        return sorted(child for child in folder.iterdir() if not child.name.startswith("."))
    except OSError as error:
        raise SceneNotFound(folder, f"cannot be read ({error.strerror})", _CURE) from error
