"""Cloud-filled bands against a whole-frame calculation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flightsw.products.cloud_fill import FILLED_BANDS


@settings(max_examples=25)
@given(height=st.integers(1, 90), width=st.integers(1, 40), seed=st.integers(0, 999))
def test_fill_equals_the_whole_frame_calculation(simulate, tmp_path_factory, height, width, seed):
    scene = simulate(height, width, seed)
    assume(np.any(scene.mask == 0))
    out = tmp_path_factory.mktemp("fill")

    paths = scene.publish(out, "fill", splits=(height // 3, height // 2)).paths("fill")

    for band, path in zip(FILLED_BANDS, paths, strict=True):
        filled = np.load(path, mmap_mode="r", allow_pickle=False)
        assert filled.dtype == np.float16
        np.testing.assert_array_equal(filled, _filled(scene, band))


def test_bright_values_do_not_overflow_the_mean(simulate, tmp_path):
    scene = simulate(300, 300)
    scene.digital_numbers[:] = 65_535  # 6.4535 in reflectance: float16 sums end at 65,504
    scene = scene.with_mask((np.arange(90_000).reshape(300, 300) % 2).astype(np.uint8))

    path = scene.publish(tmp_path, "fill").paths("fill")[0]

    assert np.all(np.load(path, allow_pickle=False) == np.float16(6.4535))


def test_a_measured_zero_of_dark_water_is_part_of_the_mean(simulate, tmp_path):
    scene = simulate(1, 4).with_mask(np.array([[0, 0, 1, 255]], np.uint8))
    scene = scene.with_metadata(offsets=dict.fromkeys(scene.metadata.bands, 0))
    scene.digital_numbers[:] = np.array([[0, 3000, 9000, 0]])

    path = scene.publish(tmp_path, "fill").paths("fill")[0]

    np.testing.assert_array_equal(
        np.load(path, allow_pickle=False), np.array([[0, 0.3, 0.15, 0]], np.float16)
    )


def test_scene_without_a_clear_pixel_is_filled_with_zero_and_remarked_on(simulate, tmp_path):
    scene = simulate(20, 20)
    scene = scene.with_mask(np.ones_like(scene.mask))

    published = scene.publish(tmp_path, "fill")

    assert all(not np.load(path, allow_pickle=False).any() for path in published.paths("fill"))
    assert sum("no clear pixel" in note for note in published.report.notes) == 3


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0)])
def test_bands_are_found_by_name_not_by_place(simulate, tmp_path, order):
    scene = simulate(30, 30)
    bands = tuple(scene.metadata.bands[index] for index in order)
    turned = scene.with_metadata(bands=bands)

    paths = turned.publish(tmp_path, "fill").paths("fill")

    for band, path in zip(FILLED_BANDS, paths, strict=True):
        np.testing.assert_array_equal(np.load(path, allow_pickle=False), _filled(turned, band))


def _filled(scene, band):
    metadata = scene.metadata
    numbers = scene.digital_numbers[metadata.bands.index(band)].astype(np.float64)
    reflectance = (numbers + metadata.offsets[band]) / metadata.quantification
    mean = reflectance[scene.mask == 0].mean(dtype=np.float64)
    # A mean within rounding of the middle between two float16 values may go either way.
    lower, upper = np.float16(mean * (1 - 1e-12)), np.float16(mean * (1 + 1e-12))
    assert lower == upper
    filled = np.where(scene.mask == 1, mean, reflectance)
    return np.where(scene.mask == 255, 0, filled).astype(np.float16)
