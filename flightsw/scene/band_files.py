"""Which file of a SAFE product holds which band, and at what ground sample distance."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from flightsw import sentinel_2
from flightsw.errors import BadMetadata, BandSizeMismatch, MissingBand, SceneNotFound

_SUBSTITUTES: Final = {"B08": "B8A"}  # the same part of the near infrared, at 20 m
_CURE: Final = "Fetch the product again"
_CIRRUS: Final = "B10"  # its light does not reach the ground, so L2A has no reflectance for it


@dataclass(frozen=True)
class BandFiles:
    """One file for each requested band, with its own metres between pixels.

    ``distance`` is the smallest of them, that of the scene's grid.
    """

    paths: Mapping[str, Path]
    distances: Mapping[str, int]
    substituted: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def distance(self) -> int:
        """Metres between the pixels of the finest band."""
        return min(self.distances.values())

    def physical(self, band: str) -> str:
        """The band that the file really holds."""
        return self.substituted.get(band, band)


def choose_bands(images: Path, bands: Sequence[str], wanted: int) -> BandFiles:
    """The files below ``IMG_DATA`` for a scene at ``wanted`` metres.

    L2A has one folder each for 10, 20 and 60 m; L1C does not divide them.  The finest
    folder with any of the bands is used and must have all that are measured as finely; at 20 m and
    60 m B8A may stand in for B08.  A band that is measured more coarsely is taken from the folder
    of its own distance, else from a coarser one.  Raises :class:`MissingBand`, or
    :class:`BadMetadata` if a band has several files.
    """
    found = {
        distance: _band_files(folder, distance)
        for distance in sentinel_2.DISTANCES
        if (folder := images / f"R{distance}m").is_dir()
    }
    if not found:
        return _flat(images, bands)
    if _CIRRUS in bands:
        cause = f"lacks band {_CIRRUS}, which Level-2A products do not have"
        cure = f"Give the Level-1C product, or use a model without {_CIRRUS}"
        raise MissingBand(images, cause, cure, band=_CIRRUS, folder=str(images))
    for distance, files in found.items():
        measured = _measured_at(bands, distance)
        # Bands at exactly the requested distance are used if the finer ones are incomplete.
        skipped = wanted == 20 and distance == 10 and _only_at_20(bands, found)
        if not skipped and any(_source_at(band, distance, files) for band in measured):
            return _complete(images, bands, distance, found)
    raise MissingBand(images, f"holds none of the bands {', '.join(bands)}", _CURE)


def _only_at_20(bands: Sequence[str], found: Mapping[int, Mapping[str, Path]]) -> bool:
    """Whether the files at 20 m are complete and those at 10 m are not."""
    fine = all(band in found.get(10, {}) for band in _measured_at(bands, 10))
    return not fine and all(_source(band, found.get(20, {})) for band in _measured_at(bands, 20))


def _measured_at(bands: Sequence[str], distance: int) -> list[str]:
    """The bands that are measured at ``distance`` metres or more finely."""
    return [band for band in bands if sentinel_2.NATIVE_DISTANCES[band] <= distance]


def _complete(
    images: Path, bands: Sequence[str], distance: int, found: Mapping[int, Mapping[str, Path]]
) -> BandFiles:
    """Each band from the folder of ``distance`` metres, or of its own distance if that is more."""
    paths, distances, substituted = {}, {}, {}
    for band in bands:
        own = max(distance, sentinel_2.NATIVE_DISTANCES[band])
        folders = [each for each in found if each >= own] if own > distance else [distance]
        sources = {each: _source_at(band, each, found[each]) for each in folders}
        used = next((each for each, source in sources.items() if source), None)
        if used is None:
            raise _missing(images / f"R{own}m", band)
        source = sources[used] or band
        paths[band], distances[band] = found[used][source], used
        if source != band:
            substituted[band] = source
    native = min(sentinel_2.NATIVE_DISTANCES[band] for band in bands)
    remarks = [f"band {used} stands in for band {band}" for band, used in substituted.items()]
    remarks += [
        f"band {band} at {used} m is used: that at {own} m is missing"
        for band, used in distances.items()
        if distance < (own := sentinel_2.NATIVE_DISTANCES[band]) < used
    ]
    if distance > native:
        remarks.insert(0, f"bands at {distance} m are used: those at {native} m are incomplete")
    return BandFiles(paths, distances, substituted, tuple(remarks))


def _flat(folder: Path, bands: Sequence[str]) -> BandFiles:
    """Every band in the one folder of an L1C product, as it is measured."""
    found = _band_files(folder, None)
    for band in bands:
        if band not in found:
            raise _missing(folder, band)
    return BandFiles(
        {band: found[band] for band in bands},
        {band: sentinel_2.NATIVE_DISTANCES[band] for band in bands},
    )


def _missing(folder: Path, band: str) -> MissingBand:
    return MissingBand(folder, f"lacks band {band}", _CURE, band=band, folder=str(folder))


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


def _source_at(band: str, distance: int, found: Mapping[str, Path]) -> str | None:
    """The same at a distance: nothing stands in for a band at 10 m."""
    if distance > 10:
        return _source(band, found)
    return band if band in found else None


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
