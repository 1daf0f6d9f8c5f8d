"""The quick-look: reduction while streaming, and what the six panels show."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightsw.products import panels
from flightsw.products.preview import PreviewAccumulator, reduction_factor
from flightsw.products.quicklook import PANELS
from flightsw.products.sheet import Sheet

CLOUD_DN, BARE_DN, VEGETATION_DN = 9_000, (1_500, 1_800, 1_700, 2_200), 2_000


@pytest.mark.parametrize(
    ("height", "width", "factor"),
    [
        (10_980, 10_980, 6),
        (5_490, 5_490, 6),
        (1_830, 1_830, 6),
        (1_000, 1_000, 5),
        (300, 5_000, 3),
        (50, 50, 1),
        (21_960, 21_960, 12),
    ],
)
def test_reduction_suits_the_scene(height, width, factor):
    assert reduction_factor(height, width) == factor


@settings(max_examples=10)
@given(
    seed=st.integers(0, 99),
    extra=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    splits=st.lists(st.integers(1, 620), max_size=8),
)
def test_reduced_scene_is_the_mean_of_the_valid_pixels_of_each_block(simulate, seed, extra, splits):
    scene = simulate(600 + extra[0], 600 + extra[1], seed)
    accumulator = PreviewAccumulator(scene.metadata)

    for rows in scene.rows(splits):
        accumulator.add(rows)

    preview = accumulator.preview()
    assert preview.factor == 3
    valid, contaminated = (
        _block_sums(chosen.astype(np.float64)) for chosen in (scene.mask != 255, scene.mask == 1)
    )
    np.testing.assert_allclose(preview.valid, valid * 255 / 9, atol=0.51)
    np.testing.assert_allclose(preview.contaminated, contaminated * 255 / 9, atol=0.51)
    for reduced, numbers in zip(preview.digital_numbers, scene.digital_numbers, strict=True):
        sums = _block_sums(np.where(scene.mask != 255, numbers, 0).astype(np.float64))
        means = np.divide(sums, valid, out=np.zeros_like(sums), where=valid > 0)
        np.testing.assert_allclose(reduced, means, rtol=0.02, atol=6)


@pytest.fixture(scope="module")
def pictures(simulate, tmp_path_factory):
    """Panels of a scene: cloud, bare land and vegetation side by side, no data below."""
    random = np.random.default_rng(0)
    scene = simulate(600, 600)
    mask = np.zeros((600, 600), np.uint8)
    mask[:, :200] = 1
    mask[450:] = 255
    noise = random.integers(-200, 200, (4, 600, 600))
    numbers = np.where(mask == 1, CLOUD_DN, np.array(BARE_DN)[:, None, None]) + noise
    numbers[3, :, 400:] += VEGETATION_DN
    scene.digital_numbers[:] = np.where(mask == 255, 0, numbers)
    published = scene.with_mask(mask).publish(tmp_path_factory.mktemp("look"), "quicklook")
    image = cv2.imread(str(published.paths("quicklook")[0]))
    sheet = Sheet((200, 200), len(PANELS))
    assert image.shape == sheet.canvas.shape
    side = 200 * sheet.enlargement
    cut = []
    for index in range(len(PANELS)):
        top, left = sheet.corner(index)
        cut.append(image[top : top + side, left : left + side, ::-1].astype(int))
    return dict(zip(PANELS, cut, strict=True))


CLOUD, BARE, LAND, NO_DATA = (
    (slice(50, 250), slice(10, 110)),
    (slice(50, 250), slice(150, 250)),
    (slice(50, 250), slice(290, 390)),
    (slice(330, 390), slice(50, 350)),
)


@pytest.mark.parametrize("panel", PANELS)
def test_no_data_is_dark_grey_in_every_panel(pictures, panel):
    np.testing.assert_allclose(_colour(pictures[panel], NO_DATA), panels.NO_DATA_COLOUR, atol=3)


def test_true_colour_is_neither_black_nor_burnt_out(pictures):
    land = pictures["True colour"][LAND]

    assert 60 < land.mean() < 200
    assert np.mean(land > 250) < 0.1
    assert _colour(pictures["True colour"], CLOUD).min() > 245


def test_false_colour_shows_the_near_infrared_in_red(pictures):
    panel = pictures["False colour, near infrared"]

    more = _colour(panel, LAND) - _colour(panel, BARE)
    assert more[0] > 100
    np.testing.assert_allclose(more[1:], 0, atol=12)
    assert panel[LAND][..., 1].std() > 20  # each band by its own stretch


def test_mask_panel_has_the_colours_of_its_legend(pictures):
    panel = pictures["Cloud mask"]

    np.testing.assert_allclose(_colour(panel, CLOUD), panels.CONTAMINATED_COLOUR, atol=3)
    np.testing.assert_allclose(_colour(panel, LAND), panels.CLEAR_COLOUR, atol=3)


def test_overlay_tints_clouds_and_leaves_land(pictures):
    panel, plain = pictures["Mask over true colour"], pictures["True colour"]

    red, green, blue = _colour(panel, CLOUD)
    assert red > green + 60
    assert red > blue + 60
    np.testing.assert_allclose(_colour(panel, LAND), _colour(plain, LAND), atol=4)


def test_filled_panel_shows_the_mean_of_the_land_where_clouds_were(pictures):
    panel = pictures["Cloud-filled true colour"]

    np.testing.assert_allclose(_colour(panel, CLOUD), _colour(panel, LAND), atol=5)


def test_fraction_panel_goes_from_none_to_all(pictures):
    panel = pictures["Local cloud fraction"]
    ends = panels.heat(np.array([[0, 1]], np.float32))[0, :, ::-1]

    np.testing.assert_allclose(_colour(panel, LAND), ends[0], atol=3)
    np.testing.assert_allclose(_colour(panel, CLOUD), ends[1], atol=3)


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 2), (37, 53)])
def test_small_scenes_get_a_sheet_large_enough_for_its_titles(simulate, tmp_path, shape, value):
    scene = simulate(*shape)

    published = scene.with_mask(np.full(shape, value, np.uint8)).publish(tmp_path, "quicklook")

    image = cv2.imread(str(published.paths("quicklook")[0]))
    assert image.shape[1] >= 1_200
    assert np.mean(image == 255) < 0.999  # something is drawn


def test_real_scene_is_neither_black_nor_burnt_out(simulate, shared_data, tmp_path):
    bands = np.load(shared_data / "tiles" / "ebiederstadt_2019-05-22.npz")["bands"][:, :900, :900]
    scene = simulate(900, 900).with_metadata(offsets=dict.fromkeys(("B02", "B03", "B04", "B08"), 0))
    scene.digital_numbers[:] = bands
    scene = scene.with_mask((bands[0] > 1_600).astype(np.uint8))

    published = scene.publish(tmp_path, "quicklook")

    image = cv2.imread(str(published.paths("quicklook")[0]))
    preview_side = -(-900 // reduction_factor(900, 900))
    sheet = Sheet((preview_side, preview_side), len(PANELS))
    top, left = sheet.corner(0)
    side = preview_side * sheet.enlargement
    panel = image[top : top + side, left : left + side]
    assert 60 < np.median(panel) < 190


def _block_sums(plane):
    height, width = (-(-side // 3) * 3 for side in plane.shape)
    padded = np.zeros((height, width))
    padded[: plane.shape[0], : plane.shape[1]] = plane
    return padded.reshape(height // 3, 3, width // 3, 3).sum(axis=(1, 3))


def _colour(panel, place):
    return np.median(panel[place].reshape(-1, 3), axis=0)
