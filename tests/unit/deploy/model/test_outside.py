from __future__ import annotations

import numpy as np
import pytest

from deploy.model.outside import experience_rows
from flightsw.model.sound_scenes import Examples


def _examples(apart: float, places: int = 40) -> Examples:
    """Sound scenes of two kinds at each place, and one strange scene ``apart`` from them."""
    random = np.random.default_rng(1)
    shares, regions, kinds = [], [], []
    for place in range(places):
        for kind in ("", "", "strange"):
            bins = random.dirichlet(np.full(8, 20.0))
            bins = np.append(bins * (1 - apart), apart) if kind else np.append(bins, 0)
            shares.append(bins)
            regions.append(f"place {place}")
            kinds.append(kind)
    return Examples(np.sqrt(shares).astype(np.float32), tuple(regions), tuple(kinds))


def test_scenes_that_differ_are_outside_and_sound_ones_of_other_places_are_not() -> None:
    sound, strange = experience_rows(_examples(apart=0.5))
    assert (sound.kind, sound.images, sound.places) == ("sound", 80, 40)
    assert sound.outside.value <= 0.05
    assert (sound.mixed, strange.mixed) == (40, 0)
    assert sound.mixed_outside.value <= 0.05
    assert (strange.kind, strange.images) == ("strange", 40)
    assert strange.outside.value == 1
    assert strange.outside.low == 1


def test_strange_scenes_that_look_like_sound_ones_are_not_outside() -> None:
    sound, strange = experience_rows(_examples(apart=0))
    assert strange.outside.value == pytest.approx(sound.outside.value, abs=0.15)
    assert strange.outside.low <= strange.outside.value <= strange.outside.high
