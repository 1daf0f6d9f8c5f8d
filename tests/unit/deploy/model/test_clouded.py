"""Real images under simulated clouds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.model.clouded import CLOUDED, clouded_copies
from deploy.model.dataset import BANDS, TAUGHT_CLASSES, Level, Tile
from telecommands.groundsim.scenes.atmosphere import (
    surface_reflectance,
    top_of_atmosphere_reflectance,
)

SIDE = 160
GROUND = 0.12


def _tile(level: Level = "l2a", distance: int = 10, names: tuple[str, ...] = BANDS) -> Tile:
    bands = np.full((len(names), SIDE, SIDE), GROUND, np.float32)
    valid = np.ones((SIDE, SIDE), np.bool_)
    return Tile("field", "region", level, distance, names, bands, valid)


def _clear() -> NDArray[np.bool_]:
    return np.ones((SIDE, SIDE), np.bool_)


def _seen(tile: Tile, *numbers: int) -> list[tuple[Tile, dict[str, NDArray[np.bool_]]]]:
    return [
        (copy, dict(zip(TAUGHT_CLASSES, truth > 0, strict=True)))
        for copy, truth in clouded_copies(tile, _clear(), numbers)
    ]


@pytest.mark.parametrize("level", ["l1c", "l2a"])
@pytest.mark.parametrize("distance", [10, 30])
def test_ground_is_unchanged_cloud_brightens_it_and_shadow_darkens_it(
    level: Level, distance: int
) -> None:
    tile = _tile(level, distance)
    for copy, truth in _seen(tile, 2, 3):
        assert (copy.level, copy.ground_sample_distance, copy.region) == (level, distance, CLOUDED)
        sums = sum(plane.astype(int) for plane in truth.values())
        np.testing.assert_array_equal(sums, 1)
        brightness = copy.bands.mean(axis=0)
        median = {name: float(np.median(brightness[plane])) for name, plane in truth.items()}
        assert median["shadow"] < median["clear"] < median["cloud"]
        assert median["clear"] == pytest.approx(GROUND, abs=0.01)


def test_numbers_draw_different_clouds_and_the_same_number_the_same() -> None:
    (first, _), (second, _), (again, _) = _seen(_tile(), 2, 6, 2)
    np.testing.assert_array_equal(first.bands, again.bands)
    assert (first.bands != second.bands).any()
    assert first.name != second.name


def test_bands_of_any_distance_lie_under_the_same_clouds() -> None:
    ((six, _),) = _seen(_tile(names=(*BANDS, "B11", "B01")), 2)
    ((four, _),) = _seen(_tile(), 2)
    np.testing.assert_allclose(six.of(BANDS), four.bands, rtol=1e-5)


def test_what_is_not_clear_is_left_out_with_its_surroundings() -> None:
    clear = _clear()
    clear[80:83, 80:83] = False
    tile = replace(_tile(), valid=_clear())
    tile.valid[0, 0] = False
    ((copy, _),) = clouded_copies(tile, clear, [2])
    expected = tile.valid.copy()
    expected[77:86, 77:86] = False
    np.testing.assert_array_equal(copy.valid, expected)


def test_no_clouds_are_put_over_an_image_that_shows_cloud_itself() -> None:
    clear = _clear()
    clear[: SIDE // 4] = False
    assert list(clouded_copies(_tile(), clear, [2])) == []


def test_the_surface_is_what_the_top_of_the_atmosphere_was_made_from() -> None:
    surface = np.random.default_rng(1).random((4, 8, 8), np.float32)
    seen = top_of_atmosphere_reflectance(surface)
    np.testing.assert_allclose(surface_reflectance(seen), surface, atol=1e-6)
    assert (surface_reflectance(np.zeros_like(seen)) == 0).all()
