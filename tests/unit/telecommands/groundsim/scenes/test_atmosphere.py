"""Simulated clouds: where their shadow falls, and how dark it is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from telecommands.groundsim.scenes.atmosphere import CLEAR, CLOUD_SHADOW, CloudLayers
from telecommands.groundsim.scenes.fractal import Window
from telecommands.groundsim.scenes.landscape import Illumination

SIDE = 256
GROUND = 0.3
COVER = 0.1
RISE = 30
FROM_THE_EAST = Illumination(azimuth=90.0, zenith=45.0)


def _seen(**how: float) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Near infrared and classes of even ground under the same clouds."""
    ground = np.full((4, SIDE, SIDE), GROUND, np.float32)
    layers = CloudLayers(3, SIDE, FROM_THE_EAST, COVER, **how)
    bands, classes = layers.cover(ground, Window(0, 0, SIDE, SIDE))
    return bands[3], classes


@pytest.mark.parametrize("base", [20.0, 60.0])
def test_the_shadow_of_higher_clouds_falls_as_much_farther_from_the_sun(base: float) -> None:
    (_, low), (_, high) = _seen(base=base), _seen(base=base + RISE)
    before, after = low[:, RISE:], high[:, :-RISE]
    ground = np.isin(before, (CLEAR, CLOUD_SHADOW)) & np.isin(after, (CLEAR, CLOUD_SHADOW))
    assert (before[ground] == CLOUD_SHADOW).sum() > 500
    assert (before == after)[ground].mean() > 0.99


def test_shadow_without_light_of_the_sky_is_black_and_with_more_of_it_brighter() -> None:
    shadow = _seen()[1] == CLOUD_SHADOW
    darkest = [float(_seen(diffuse=diffuse)[0][shadow].min()) for diffuse in (0.0, 1.0, 2.0)]
    assert darkest[0] < 0.02 < darkest[1] < darkest[2]
