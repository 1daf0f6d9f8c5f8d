"""Real images under simulated clouds."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

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
    for copy, truth in _with_all_classes(tile, 2):
        assert (copy.ground_sample_distance, copy.region) == (distance, CLOUDED)
        sums = sum(plane.astype(int) for plane in truth.values())
        np.testing.assert_array_equal(sums, 1)
        brightness = copy.bands.mean(axis=0)
        median = {name: float(np.median(brightness[plane])) for name, plane in truth.items()}
        assert median["shadow"] < median["clear"] < median["cloud"]
        assert median["clear"] == pytest.approx(GROUND, abs=0.01)


def _with_all_classes(tile: Tile, count: int) -> list[tuple[Tile, dict[str, NDArray[np.bool_]]]]:
    """Copies at the tile's own level that show ground, cloud and shadow."""
    copies = (_seen(tile, number)[0] for number in range(2, 60))
    fit = (
        (copy, truth)
        for copy, truth in copies
        if copy.level == tile.level and min(plane.sum() for plane in truth.values()) > 50
    )
    found = list(islice(fit, count))
    assert len(found) == count
    return found


def test_half_of_the_copies_of_l1c_are_corrected_to_l2a() -> None:
    levels = [copy.level for copy, _ in _seen(_tile("l1c"), *range(16))]
    assert 4 <= levels.count("l2a") <= 12
    assert {copy.level for copy, _ in _seen(_tile("l2a"), *range(8))} == {"l2a"}


def test_copies_with_b10_stay_l1c_because_l2a_has_no_b10() -> None:
    tile = _tile("l1c", names=(*BANDS, "B10"))
    assert {copy.level for copy, _ in _seen(tile, *range(8))} == {"l1c"}


def test_a_corrected_copy_has_the_surface_reflectance_of_its_ground() -> None:
    tile = _tile("l1c")
    surface = surface_reflectance(tile.bands)[:, 0, 0]
    copy, truth = next(one for one in _seen(tile, *range(2, 20)) if one[0].level == "l2a")
    ground = [np.median(plane[truth["clear"]]) for plane in copy.bands]
    np.testing.assert_allclose(ground, surface, atol=0.01)


def test_shadow_of_l2a_is_as_deep_and_as_faint_as_people_traced_it() -> None:
    tile = _tile()
    depths = [
        float(np.percentile(copy.bands[3][truth["shadow"]], 5)) / GROUND
        for copy, truth in _seen(tile, *range(2, 30))
        if truth["shadow"].sum() > 100
    ]
    assert min(depths) < 0.15
    assert max(depths) > 0.25


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
    ((copy, truth),) = clouded_copies(tile, clear, [2])
    expected = tile.valid.copy()
    expected[77:86, 77:86] = False
    changed = truth[0] == 0
    np.testing.assert_array_equal(copy.valid[changed], expected[changed])
    assert not copy.valid[~expected].any()


def test_cloud_and_shadow_too_faint_for_a_class_are_left_out() -> None:
    for copy, truth in _seen(_tile(), 2, 3, 5):
        change = np.abs(copy.bands - GROUND).max(axis=0)
        np.testing.assert_array_equal(copy.valid, ~truth["clear"] | (change <= 0.01))
    assert not copy.valid.all()


def test_no_clouds_are_put_over_an_image_that_shows_cloud_itself() -> None:
    clear = _clear()
    clear[: SIDE // 4] = False
    assert list(clouded_copies(_tile(), clear, [2])) == []


def test_the_surface_is_what_the_top_of_the_atmosphere_was_made_from() -> None:
    surface = np.random.default_rng(1).random((4, 8, 8), np.float32)
    seen = top_of_atmosphere_reflectance(surface)
    np.testing.assert_allclose(surface_reflectance(seen), surface, atol=1e-6)
    assert (surface_reflectance(np.zeros_like(seen)) == 0).all()
