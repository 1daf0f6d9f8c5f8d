"""How often strange scenes are found outside, and sound ones too: of places kept out of learning.

Each place is judged by what was learnt from seven eighths of the places, without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final, TypedDict

import numpy as np
from numpy.typing import NDArray

from deploy.model.card import ExperienceRow, Interval, RealRow
from deploy.model.dataset import Source, Sources, tiles_of
from deploy.model.experience import count, learn, part, places
from deploy.model.networks import Network
from flightsw.model.package import EXPERIENCE, ModelPackage
from flightsw.model.sound_scenes import Examples, SoundScenes, read_examples

SOUND: Final = "sound"

_DRAWS: Final = 1000
_SNOW: Final = Sources((Source(files="more/layton_2020-04-11.npz", level="l2a"),))
"""Fields under snow, which were never taught; the visible bands end at 0.4."""

_BESIDE_NOISE: Final = Sources((Source(files="tiles/sen12mscr_l1c.npz", level="l1c"),))
_NOISE: Final = "filename.tif"
"""An image of SEN12MS-CR that holds uniform noise; ``sources.toml`` leaves it out."""


class ExperienceFigures(TypedDict):
    """The fields of a card that are about the experience of its release."""

    experience: tuple[ExperienceRow, ...]
    real: tuple[RealRow, ...]


def experience_figures(data: Path, network: Network, package: ModelPackage) -> ExperienceFigures:
    """Of the scenes that the package stores, and of real ones below ``data``; none without them."""
    sound = package.sound_scenes()
    if sound is None:
        return {"experience": (), "real": ()}
    return {
        "experience": tuple(experience_rows(read_examples(package.folder / EXPERIENCE))),
        "real": tuple(_real_rows(data, network, package, sound)),
    }


def experience_rows(examples: Examples) -> Iterator[ExperienceRow]:
    """Sound scenes, then each kind of strange ones: the share that is outside."""
    kinds, regions, fold = np.array(examples.kinds), np.array(examples.regions), places(examples)
    learnt = {number: learn(part(examples, fold != number)) for number in np.unique(fold)}
    for kind in dict.fromkeys(["", *examples.kinds]):
        images, mixed = [], []
        for place in sorted({*regions[kinds == kind]}):
            own = (kinds == kind) & (regions == place)
            known = learnt[fold[own][0]]
            shares = examples.roots[own].astype(np.float64) ** 2
            images.append(np.array([known.distance(one)[0] > 1 for one in shares]))
            if len(shares) > 1:
                mixed.append(np.array([known.distance(shares.mean(axis=0))[0] > 1]))
        count = int((kinds == kind).sum())
        yield ExperienceRow(
            kind=kind or SOUND,
            images=count,
            places=len(images),
            outside=_interval(images),
            mixed=len(mixed),
            mixed_outside=_interval(mixed or images),
        )


def _real_rows(
    data: Path, network: Network, package: ModelPackage, sound: SoundScenes
) -> Iterator[RealRow]:
    """Real scenes of grounds that the package was not measured on, and one that is noise."""
    noise = (tile for tile in tiles_of(data, _BESIDE_NOISE) if tile.name == _NOISE)
    for tile in chain(tiles_of(data, _SNOW), noise):
        distance, _ = sound.distance(count(network, package, tile, colours=sound.colours).shares())
        yield RealRow(tile.name, distance, distance > 1)


def _interval(groups: Sequence[NDArray[np.bool_]]) -> Interval:
    """The share over all scenes, and its 95 % interval over draws of as many places."""
    random = np.random.default_rng(1)
    hits, sizes = (np.array([size(one) for one in groups]) for size in (np.sum, len))
    drawn = random.integers(0, len(groups), (_DRAWS, len(groups)))
    low, high = np.percentile(hits[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), (2.5, 97.5))
    return Interval(float(hits.sum() / sizes.sum()), float(low), float(high))
