"""The schedule of coding passes follows from the step of the network's input."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsw.scene.bit_planes import largest_error, passes_to_drop
from flightsw.scene.passes import sub_band

_STEPS = st.floats(0.01, 5000)
_LEVELS = st.integers(1, 6)


def test_the_schedule_of_the_shipped_package_at_four_levels() -> None:
    dropped = passes_to_drop(40, 4)
    assert dropped[sub_band(4, 0)] == dropped[sub_band(3, 0)] == 15  # five bit-planes
    assert dropped[sub_band(4, 2)] == 18
    assert dropped[sub_band(3, 2)] == 17  # five planes, and two passes of the next one
    assert dropped[0] == 7
    assert largest_error(dropped) == 362


def test_a_network_with_a_coarser_input_drops_a_bit_plane_more() -> None:
    assert passes_to_drop(80, 4)[-1] == passes_to_drop(40, 4)[-1] + 3
    assert largest_error(passes_to_drop(80, 4)) > largest_error(passes_to_drop(40, 4))


@given(_LEVELS)
def test_a_network_that_sees_every_digital_number_drops_nothing(levels: int) -> None:
    assert not any(passes_to_drop(0.5, levels))
    assert largest_error(passes_to_drop(0.5, levels)) == 0


@given(_STEPS, _LEVELS)
def test_no_sub_band_adds_more_than_twice_the_noise_of_a_step(step: float, levels: int) -> None:
    """And the finest HL and LH not more than once; the norms are OpenJPEG's, to three digits."""
    norms_hl, norms_hh = (1.038, 1.592, 2.919, 5.703, 11.33), (0.7186, 0.9218, 1.586, 3.043, 6.019)
    dropped = passes_to_drop(step, levels)
    for level in range(1, min(levels, 5) + 1):
        resolution = levels - level + 1
        for kind, norms in enumerate((norms_hl, norms_hl, norms_hh)):
            planes = dropped[sub_band(resolution, kind)] / 3
            noise = 1 if level == 1 and kind < 2 else 2
            expected = max(0.0, math.log2(step * noise**0.5 / norms[level - 1]))
            assert expected - 0.35 < planes < expected + 0.01


@pytest.mark.parametrize("levels", range(1, 7))
def test_coarser_sub_bands_lose_fewer_passes(levels: int) -> None:
    dropped = passes_to_drop(40, levels)
    finest_first = [dropped[sub_band(resolution, 0)] for resolution in range(levels, 0, -1)]
    assert finest_first == sorted(finest_first, reverse=True)
    assert dropped[0] <= finest_first[-1]
