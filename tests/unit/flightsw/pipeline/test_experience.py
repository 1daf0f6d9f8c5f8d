from __future__ import annotations

from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flightsw.config import PipelineSettings
from flightsw.engines.engine import Quantisation
from flightsw.model.sound_scenes import COLOURS, KINDS, SoundScenes, sizes_of
from flightsw.pipeline import process_scene
from flightsw.pipeline.answer_check import AnswerCheck
from flightsw.pipeline.experience import SceneExperience, SceneHistograms
from flightsw.pipeline.process import scene_grid
from flightsw.pipeline.work import TileSample
from flightsw.products.contents import Experience
from tests.unit.flightsw.small_parts import BANDS, ArithmeticEngine, ArrayScene

_SCALE = Quantisation(0.004, -128)
_LOGIT_SCALE = 0.03125
_BINS = sum(sizes_of(len(BANDS)))


def _sample(seed: int, side: int = 32) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """A tile and its answer, whose two logits are opposite."""
    random = np.random.default_rng(seed)
    tile = random.integers(-128, 128, (side, side, len(BANDS)), dtype=np.int8)
    logit = random.integers(-127, 128, (side, side, 1), dtype=np.int8)
    return tile, np.concatenate((-logit, logit), axis=2)


def _counted(*samples: tuple[TileSample, NDArray[np.int8]]) -> SceneHistograms:
    histograms = SceneHistograms(len(BANDS), _SCALE, _LOGIT_SCALE)
    for sample, logits in samples:
        histograms.count(sample, logits)
    return histograms


def _sound(direction: NDArray[np.float64], least_pixels: int = 1) -> SoundScenes:
    one = np.ones(1)
    return SoundScenes(("bright",), direction[None], 0 * one, 0.5 * one, least_pixels)


def test_each_histogram_has_all_pixels_that_were_counted() -> None:
    tile, logits = _sample(1)
    shares = _counted((TileSample(tile[::4, ::4], None), logits)).shares()
    edges = [0, *accumulate(sizes_of(len(BANDS)))]
    assert len(shares) == edges[-1]
    sums = [shares[start:end].sum() for start, end in pairwise(edges)]
    np.testing.assert_allclose(sums, 1)


@given(st.integers(0, 2**32 - 1))
def test_engines_of_any_precision_count_the_same(seed: int) -> None:
    tile, logits = _sample(seed)
    reflectance = ((tile[::4, ::4].astype(np.float32) + 128) * 0.004).astype(np.float32)
    real = logits.astype(np.float32) * np.float32(_LOGIT_SCALE)
    floating = SceneHistograms(len(BANDS), _SCALE)
    floating.count(TileSample(reflectance, None), real)
    expected = _counted((TileSample(tile[::4, ::4], None), logits))
    np.testing.assert_array_equal(floating.shares(), expected.shares())


@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 8))
def test_pixels_without_data_do_not_count(seed: int, rows: int, columns: int) -> None:
    """Whatever their tile shows there: a cut of the sample has the same histograms."""
    tile, logits = _sample(seed)
    valid = np.zeros((8, 8), np.bool_)
    valid[:rows, :columns] = True
    found = _counted((TileSample(tile[::4, ::4], valid), logits))
    cut = _counted((TileSample(tile[: rows * 4 : 4, : columns * 4 : 4], None), logits))
    assert found.pixels == rows * columns
    np.testing.assert_array_equal(found.shares(), cut.shares())


def test_no_light_saturation_and_the_answer_have_bins_of_their_own() -> None:
    logits = np.zeros((4, 4, 2), np.int8)
    seen = set()
    for step in (-128, -100, 127):
        for margin in (-40, 0, 40, 127):
            logits[..., 1], logits[..., 0] = margin, -margin
            pixel = np.full((1, 1, len(BANDS)), step, np.int8)
            shares = _counted((TileSample(pixel, None), logits)).shares()
            seen.add(int(shares[: sizes_of(4)[0]].argmax()))
    assert len(seen) == 3 * 3  # margins of 80 and 254 steps are both certain


def test_grounds_that_are_alike_in_single_bands_differ_in_joint_colours() -> None:
    """A green pixel and a grey one, or two that are green in half of the bands."""
    logits, size = np.zeros((8, 8, 2), np.int8), sizes_of(len(BANDS))[0]
    green, grey = np.array([-90, -80, -95, 20]), np.array([-40, -38, -35, -30])
    mixed = np.where([True, True, False, False], green, grey)
    other = np.where([True, True, False, False], grey, green)

    def shares(one: NDArray[np.int64], two: NDArray[np.int64]) -> NDArray[np.float64]:
        pixels = np.stack([one, two]).astype(np.int8).reshape(2, 1, len(BANDS))
        return _counted((TileSample(pixels, None), logits)).shares()

    apart, joined = shares(green, grey), shares(mixed, other)
    np.testing.assert_array_equal(apart[: 4 * size], joined[: 4 * size])
    assert np.abs(apart[-COLOURS:] - joined[-COLOURS:]).sum() == pytest.approx(2)


@given(st.integers(0, 2**32 - 1), st.integers(1, 13))
def test_an_older_package_has_the_same_histograms_without_joint_colours(
    seed: int, bands: int
) -> None:
    random = np.random.default_rng(seed)
    tile = random.integers(-128, 128, (8, 8, bands), dtype=np.int8)
    logits = random.integers(-128, 128, (32, 32, 2), dtype=np.int8)
    old, new = (SceneHistograms(bands, _SCALE, colours=colours) for colours in (False, True))
    for histograms in (old, new):
        histograms.count(TileSample(tile, None), logits)
    assert len(old.shares()) == sum(sizes_of(bands, colours=False))
    np.testing.assert_array_equal(new.shares()[:-COLOURS], old.shares())


def _found(
    scene: ArrayScene, sound: SoundScenes, *, batch: int = 1, twice: bool = False
) -> Experience | None:
    engine = ArithmeticEngine(batch=batch)
    assert engine.info.input
    grid = scene_grid(scene.metadata, engine.info)
    summary = process_scene(
        scene,
        engine,
        PipelineSettings(device="cpu"),
        grid=grid,
        check=AnswerCheck(grid, engine.info, every=True) if twice else None,
        experience=SceneExperience(engine.info, engine.info.input, sound),
    )
    return summary.experience


def _numbers(height: int, width: int) -> NDArray[np.uint16]:
    random = np.random.default_rng(height)
    numbers = random.integers(1000, 9000, (len(BANDS), height, width)).astype(np.uint16)
    numbers[:, : height // 3, : width // 2] = 0
    return numbers


@pytest.mark.parametrize(
    ("strips", "panels", "batch", "twice"),
    [((64,), (), 3, False), ((17, 300), (250,), 4, False), ((500,), (), 4, True)],
)
def test_the_distance_of_a_scene_does_not_depend_on_how_it_streams(
    strips: tuple[int, ...], panels: tuple[int, ...], batch: int, twice: bool
) -> None:
    """Nor on tiles that are computed again, which count once."""
    direction = np.random.default_rng(3).uniform(0, 1, _BINS)
    numbers, sound = _numbers(460, 500), _sound(direction)
    plain = _found(ArrayScene(numbers, (500,)), sound)
    assert plain
    assert plain.distance > 0
    assert _found(ArrayScene(numbers, strips, panels), sound, batch=batch, twice=twice) == plain


def test_a_scene_beyond_the_limit_is_outside_and_one_with_few_pixels_is_not_known() -> None:
    saturated = np.zeros(_BINS)
    saturated[sizes_of(4)[0] - KINDS : sizes_of(4)[0]] = 1  # the first band's last bin
    dark, bright = (np.full((len(BANDS), 300, 300), number, np.uint16) for number in (1500, 65_535))
    inside = _found(ArrayScene(dark), _sound(saturated))
    assert inside
    assert (inside.outside, inside.distance, inside.remark) == (False, 0, "")
    outside = _found(ArrayScene(bright), _sound(saturated))
    assert outside
    assert outside.outside
    assert outside.distance == pytest.approx(2)  # root of a share of 1, in units of 0.5
    assert "its distance from normal scenes is 2.00 times the limit" in outside.remark
    assert outside.remark.endswith(": bright")
    assert _found(ArrayScene(bright), _sound(saturated, outside.pixels + 1)) is None


def test_without_sound_scenes_nothing_is_sampled_and_nothing_known() -> None:
    scene, engine = ArrayScene(_numbers(300, 300)), ArithmeticEngine()
    assert process_scene(scene, engine, PipelineSettings(device="cpu")).experience is None
