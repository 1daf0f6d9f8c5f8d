"""``experience.npz``: histograms of the scenes that a model was measured on, and a limit.

The distance of a scene is measured along one direction: from the sound scenes to scenes whose mask
cannot be trusted (docs/decisions/0060).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from flightsw.errors import PackageInvalid

FIRST_STEPS: Final = (0, 2, 8, 14, 20, 28, 36, 46, 58, 72, 88, 106, 128, 154, 186, 224, 255)
"""First INT8 step, from 0, of each bin of a band; no light and saturation have their own."""
CONTRASTS: Final = 12
"""Bins of the contrast of two neighbouring bands."""
MARGINS: Final = 32
"""Bins of the margin of the answers."""
ANSWERS: Final = (-2.0, 0.0, 2.0)
"""Margins between the answers clear, perhaps clear, perhaps contaminated, and contaminated."""
KINDS: Final = len(ANSWERS) + 1

_REINSTALL: Final = "Install the package again from a trusted source"


@dataclass(frozen=True)
class Examples:
    """Histograms of scenes, and what is known of each.

    ``roots`` float32 ``(n, bins)`` are the square roots of the shares of
    :class:`~flightsw.pipeline.experience.SceneHistograms`: between two rows lies their Hellinger
    distance.  ``regions`` are the places, ``kinds`` why a scene is strange, "" for a sound one.
    """

    roots: NDArray[np.float32]
    regions: tuple[str, ...]
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class SoundScenes:
    """How a scene is told from those that the model was measured on.

    The distance is that of its histograms along ``direction`` float64 ``(bins)``, from ``centre``
    on, in units of ``limit``; a scene with less than ``least_pixels`` counted is not judged.
    ``examples`` are the scenes that this was learnt from.
    """

    direction: NDArray[np.float64]
    centre: float
    limit: float
    least_pixels: int
    examples: Examples

    def distance(self, shares: NDArray[np.float64]) -> float:
        """Of a scene's shares ``(bins)``: 0 in the middle of sound scenes, above 1 outside."""
        along = float(np.sqrt(shares) @ self.direction) - self.centre
        return max(0.0, along / self.limit)


def sizes_of(bands: int) -> tuple[int, ...]:
    """Bins of each histogram: the bands, the darkest of them, contrasts, and the margin."""
    steps, contrasts = len(FIRST_STEPS) * KINDS, CONTRASTS * KINDS
    return (*[steps] * (bands + 1), *[contrasts] * (bands - 1), MARGINS)


def read_sound_scenes(path: Path, bands: int) -> SoundScenes:
    """Read the file; :class:`PackageInvalid` if it is not whole, or not for as many ``bands``."""
    bins = sum(sizes_of(bands))
    try:
        with np.load(path, allow_pickle=False) as arrays:
            examples = Examples(
                roots=arrays["roots"].astype(np.float32),
                regions=tuple(str(one) for one in arrays["regions"]),
                kinds=tuple(str(one) for one in arrays["kinds"]),
            )
            sound = SoundScenes(
                direction=arrays["direction"].astype(np.float64),
                centre=float(arrays["centre"]),
                limit=float(arrays["limit"]),
                least_pixels=int(arrays["least_pixels"]),
                examples=examples,
            )
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise PackageInvalid(path, f"cannot be read ({error})", _REINSTALL) from error
    count = len(examples.regions)
    for key, holds, expected, found in (
        ("direction", sound.direction.shape == (bins,), (bins,), sound.direction.shape),
        ("direction", bool(np.isfinite(sound.direction).all()), "finite numbers", "others"),
        ("roots", examples.roots.shape == (count, bins), (count, bins), examples.roots.shape),
        ("kinds", len(examples.kinds) == count, count, len(examples.kinds)),
        ("centre", np.isfinite(sound.centre), "a finite number", sound.centre),
        ("limit", 0 < sound.limit < np.inf, "above 0", sound.limit),
        ("least_pixels", sound.least_pixels > 0, "above 0", sound.least_pixels),
    ):
        if not holds:
            raise PackageInvalid.wrong(path, key, expected, found)
    return sound


def write_sound_scenes(path: Path, sound: SoundScenes) -> None:
    """Write the file of a new package; its list of checksums is the caller's."""
    np.savez_compressed(
        path,
        allow_pickle=False,
        direction=sound.direction,
        centre=sound.centre,
        limit=sound.limit,
        least_pixels=sound.least_pixels,
        roots=sound.examples.roots.astype(np.float16),
        regions=np.array(sound.examples.regions),
        kinds=np.array(sound.examples.kinds),
    )
