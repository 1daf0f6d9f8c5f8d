from __future__ import annotations

from dataclasses import replace

import pytest

from flightsw.chain import unfit
from flightsw.model.package import load_package
from flightsw.testing import scene_metadata


@pytest.mark.parametrize(
    ("level", "distance", "told"),
    [
        ("L2A", 10, []),
        ("L1C", 20, []),
        ("", 10, []),
        ("L2A", 40, ["10 and 20 m, this scene is at 40 m"]),
        ("L2B", 60, ["L1C and L2A, this scene is L2B", "10 and 20 m, this scene is at 60 m"]),
    ],
)
def test_a_scene_that_the_model_was_not_made_for_is_remarked_on(
    level: str, distance: int, told: list[str]
) -> None:
    package = replace(load_package(), levels=("L1C", "L2A"), ground_sample_distances=(10, 20))
    scene = scene_metadata(900, 900, level=level, ground_sample_distance=distance)
    assert unfit(package, scene) == tuple(f"the model was made for {one}" for one in told)
