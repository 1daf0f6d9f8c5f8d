"""What a first look counts, and which scenes get one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightsw.model.description import FirstLookTest
from flightsw.model.package import load_package
from flightsw.pipeline.triage import BrightCloud, Triage
from flightsw.products.contents import FinishedRows
from flightsw.scene.ahead import SceneRecipe
from flightsw.scene.area import area_within
from tests.unit.flightsw.small_parts import scene_metadata

_TEST = FirstLookTest("B02", 0.2, 0.05, images=9, regions=3)
_BANDS = ("B02", "B03", "B04", "B08")
_MAIN = SceneRecipe(Path("scene"), _BANDS, 10, None, "auto", 2, panels=True, reflectance_step=0.004)


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(0, 99))
def test_surely_contaminated_is_what_is_bright_and_contaminated_less_the_largest_excess(
    rows: int, seed: int
) -> None:
    chance = np.random.default_rng(seed)
    scene = scene_metadata(rows, 7)
    numbers = chance.integers(1, 9000, (4, rows, 7)).astype(np.uint16)
    mask = chance.choice(np.array([0, 1, 255], np.uint8), (rows, 7), p=[0.2, 0.7, 0.1])
    look = BrightCloud(scene, _TEST)
    for top in range(0, rows, 3):
        part = np.s_[top : top + 3]
        look.write(FinishedRows(top, numbers[:, part], mask[part], None))
    reflectance = (numbers[0].astype(float) + scene.offsets["B02"]) / scene.quantification
    sure = ((mask == 1) & (reflectance > 0.2)).sum() / max(1, (mask != 255).sum())
    assert look.least == pytest.approx(max(0.0, sure - 0.05))
    assert look.least <= (mask == 1).sum() / max(1, (mask != 255).sum())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"threshold_percent": 50}, ""),
        ({"threshold_percent": 51}, "not been validated for thresholds above 50 per cent"),
        ({"test": None}, "it has not been validated for this model"),
        ({"main": replace(_MAIN, ground_sample_distance=20)}, ""),
        ({"main": replace(_MAIN, ground_sample_distance=40)}, "masks coarser than 20 m"),
        ({"main": replace(_MAIN, bands=("B02", "B03"))}, "not use all bands of the quick-look"),
        ({"main": replace(_MAIN, area=area_within((9, 47, 10, 48)))}, "cut to an area"),
    ],
)
def test_scenes_for_which_it_was_not_measured_get_no_first_look(
    changes: dict[str, Any], reason: str
) -> None:
    triage = replace(Triage(_MAIN, _TEST, None), **changes)
    assert bool(triage.obstacle) == bool(reason)
    assert reason in triage.obstacle


def test_the_shipped_model_has_a_measured_test() -> None:
    test = load_package().first_look
    assert test is not None
    assert test.band == "B02"
    assert test.images > 200
    assert 0.05 <= test.largest_excess < 0.2
