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
from telecommands.failure import reason_of

FIRST_STEPS: Final = (0, 2, 8, 14, 20, 28, 36, 46, 58, 72, 88, 106, 128, 154, 186, 224, 255)
"""First INT8 step, from 0, of each bin of a band; no light and saturation have their own."""
CONTRASTS: Final = 12
"""Bins of the contrast of two neighbouring bands."""
MARGINS: Final = 32
"""Bins of the margin of the answers."""
ANSWERS: Final = (-2.0, 0.0, 2.0)
"""Margins between the answers clear, perhaps clear, perhaps contaminated, and contaminated."""
KINDS: Final = len(ANSWERS) + 1
HUES: Final = (-0.5, -0.3, -0.2, -0.12, -0.07, -0.03, 0.0, 0.03, 0.07, 0.12, 0.2, 0.3, 0.5)
"""Contrasts between the bins of a joint colour; bins are narrow about grey."""
BRIGHTNESSES: Final = (14, 28, 46, 72, 106, 154, 224)
"""INT8 steps, from 0, between the bins of a joint colour's brightness."""
COLOURS: Final = (len(HUES) + 1) ** 2 * (len(BRIGHTNESSES) + 1)

_VERSIONS: Final = (1, 2)  # of the file: without and with joint colours
_UNREADABLE: Final = (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error)
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
    """How a scene differs from those that the model was measured on.

    The distance is the largest of those along ``directions`` float64 ``(k, bins)``, from
    ``centres`` on, in units of ``limits``, both ``(k)``; ``strange`` names what lies in each
    direction.  A scene with less than ``least_pixels`` counted is not judged.  ``colours``: joint
    colours are among ``bins``; files of version 1 have none.
    """

    strange: tuple[str, ...]
    directions: NDArray[np.float64]
    centres: NDArray[np.float64]
    limits: NDArray[np.float64]
    least_pixels: int
    colours: bool = True

    def distance(self, shares: NDArray[np.float64]) -> tuple[float, str]:
        """Of a scene's shares ``(bins)``, and what lies in its direction.

        0 is in the middle of sound scenes, above 1 outside.
        """
        along = (self.directions @ np.sqrt(shares) - self.centres) / self.limits
        farthest = int(along.argmax())
        return max(0.0, float(along[farthest])), self.strange[farthest]


def sizes_of(bands: int, *, colours: bool = True) -> tuple[int, ...]:
    """Bins of each histogram: bands, the darkest of them, contrasts, the margin, joint colours."""
    steps, contrasts = len(FIRST_STEPS) * KINDS, CONTRASTS * KINDS
    joint = [COLOURS] if colours else []
    return (*[steps] * (bands + 1), *[contrasts] * (bands - 1), MARGINS, *joint)


def read_sound_scenes(path: Path, bands: int) -> SoundScenes:
    """Read the file; :class:`PackageInvalid` if it is not whole, or not for as many ``bands``."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            version = int(arrays["version"]) if "version" in arrays else 1
            sound = SoundScenes(
                strange=tuple(str(one) for one in arrays["strange"]),
                directions=arrays["directions"].astype(np.float64),
                centres=arrays["centres"].astype(np.float64),
                limits=arrays["limits"].astype(np.float64),
                least_pixels=int(arrays["least_pixels"]),
                colours=version > 1,
            )
    except _UNREADABLE as error:
        raise PackageInvalid(path, f"cannot be read ({reason_of(error)})", _REINSTALL) from error
    bins, strange = sum(sizes_of(bands, colours=sound.colours)), len(sound.strange)
    shapes = (
        ("directions", sound.directions, (max(strange, 1), bins)),
        ("centres", sound.centres, (strange,)),
        ("limits", sound.limits, (strange,)),
    )
    for key, holds, expected, found in (
        ("version", version in _VERSIONS, f"one of {_VERSIONS}", version),
        *((key, array.shape == shape, shape, array.shape) for key, array, shape in shapes),
        *(
            (key, bool(np.isfinite(array).all()), "finite", "not finite")
            for key, array, _ in shapes
        ),
        ("limits", bool((sound.limits > 0).all()), "above 0", sound.limits.tolist()),
        ("least_pixels", sound.least_pixels > 0, "above 0", sound.least_pixels),
    ):
        if not holds:
            raise PackageInvalid.wrong(path, key, expected, found)
    return sound


def read_examples(path: Path) -> Examples:
    """The scenes that the file was learnt from; :class:`PackageInvalid` if it has none."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Examples(
                roots=arrays["roots"].astype(np.float32),
                regions=tuple(str(one) for one in arrays["regions"]),
                kinds=tuple(str(one) for one in arrays["kinds"]),
            )
    except _UNREADABLE as error:
        raise PackageInvalid(path, f"cannot be read ({reason_of(error)})", _REINSTALL) from error


def write_sound_scenes(path: Path, sound: SoundScenes, examples: Examples) -> None:
    """Write the file of a new package; its list of checksums is the caller's."""
    np.savez_compressed(
        path,
        allow_pickle=False,
        version=_VERSIONS[sound.colours],
        strange=np.array(sound.strange),
        directions=sound.directions,
        centres=sound.centres,
        limits=sound.limits,
        least_pixels=sound.least_pixels,
        roots=examples.roots.astype(np.float16),
        regions=np.array(examples.regions),
        kinds=np.array(examples.kinds),
    )
