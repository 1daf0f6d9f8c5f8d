"""Digital numbers that contradict the metadata are remarked on, and impossible ones refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flightsw.config import PipelineSettings
from flightsw.errors import CorruptImage
from flightsw.pipeline import process_scene
from flightsw.pipeline.plausibility import Plausibility
from tests.unit.flightsw.small_parts import BANDS, ArithmeticEngine, ArrayScene, scene_metadata


def scene_of(numbers: NDArray[np.uint16], offset: int, distance: int) -> ArrayScene:
    offsets = dict.fromkeys(BANDS, offset)
    return ArrayScene(numbers, changes={"offsets": offsets, "ground_sample_distance": distance})


def land(offset: int) -> NDArray[np.uint16]:
    """Half dark forest, half cloud, a corner without data: digital numbers with this offset."""
    random = np.random.default_rng(3)
    reflectance = random.normal(200, 60, (4, 240, 240)).clip(0)
    reflectance[:, 120:] += 4000
    reflectance[3] += 1500
    numbers = np.rint(reflectance - offset)
    numbers[:, :20, :20] = 0
    return numbers.astype(np.uint16)


def remarks_of(numbers: NDArray[np.uint16], offset: int, distance: int = 10) -> tuple[str, ...]:
    settings = PipelineSettings(device="cpu")
    scene = scene_of(numbers, offset, distance)
    return process_scene(scene, ArithmeticEngine(), settings).remarks


@pytest.mark.parametrize("offset", [0, -1000])
def test_a_right_offset_is_not_remarked_on(offset: int) -> None:
    assert remarks_of(land(offset), offset) == ()


def test_an_offset_that_is_applied_twice_is_remarked_on() -> None:
    (remark,) = remarks_of(land(0), -1000)
    assert "below -0.01: the offset (-1000) was perhaps applied before" in remark


@pytest.mark.parametrize("distance", [40, 80])
def test_what_wavelets_overshoot_beside_cloud_is_not_taken_for_a_wrong_offset(
    distance: int,
) -> None:
    numbers = land(-1000)
    numbers[:, 112:120, 20:] = 1000 - 300
    assert any("below -0.01" in remark for remark in remarks_of(numbers, -1000, 20))
    assert remarks_of(numbers, -1000, distance) == ()
    (remark,) = remarks_of(land(0), -1000, distance)
    assert "below -0.05: the offset (-1000) was perhaps applied before" in remark


def test_an_offset_that_is_not_applied_is_remarked_on() -> None:
    (remark,) = remarks_of(land(-1000), 0)
    assert "perhaps the product has an offset (-1000) that is not applied" in remark


@pytest.mark.parametrize("offset", [0, -1000])
def test_neither_overcast_nor_dark_water_is_doubtful(offset: int) -> None:
    overcast = np.full((4, 240, 240), 4000 - offset, np.uint16)
    assert remarks_of(overcast, offset) == ()
    water = np.random.default_rng(5).normal(0, 20, (4, 240, 240)).clip(-90, None) - offset
    water[0] += 200
    assert remarks_of(water.clip(0).astype(np.uint16), offset) == ()


def test_saturated_pixels_are_possible() -> None:
    numbers = land(-1000)
    numbers[:, 200:] = 65_535
    assert remarks_of(numbers, -1000) == ()


def test_a_few_impossible_numbers_are_remarked_on_and_many_refused() -> None:
    numbers = land(-1000)
    numbers[2, 200, 200:210] = 64_000
    (remark,) = remarks_of(numbers, -1000)
    assert "from 32,768 to 65,534 in 10 of 57,200 valid pixels" in remark
    numbers[2, 200:210] = 64_000
    with pytest.raises(CorruptImage, match=r"in 2,400 of 57,200 valid pixels, which no product"):
        remarks_of(numbers, -1000)


@given(
    heights=st.lists(st.integers(90, 3000), min_size=1, max_size=4),
    widths=st.lists(st.integers(1, 9), max_size=2),
    offset=st.sampled_from([0, -1000]),
)
def test_any_strips_give_the_same_remarks(
    heights: list[int], widths: list[int], offset: int
) -> None:
    numbers = np.random.default_rng(1).integers(700, 1500, (4, 5000, 12)).astype(np.uint16)
    metadata = scene_metadata(5000, 12, offsets=dict.fromkeys(BANDS, offset))
    found = []
    for scene in (ArrayScene(numbers, [5000]), ArrayScene(numbers, heights, widths)):
        judge = Plausibility(metadata)
        with scene.strips(1) as strips:
            for _ in judge.watch(strips):
                pass
        found.append(judge.remarks(numbers[0].size))
    assert found[0] == found[1]
    assert bool(found[0]) == (offset != 0)
