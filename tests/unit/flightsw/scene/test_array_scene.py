from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from flightsw.errors import MissingBand, UsageError
from flightsw.scene.array_scene import ArrayScene
from flightsw.scene.scene import Georeference

BANDS = ("B02", "B03", "B04", "B08")


def _block(rows: int = 300, columns: int = 250) -> np.ndarray[Any, np.dtype[np.uint16]]:
    return np.random.default_rng(3).integers(1, 65_536, (4, rows, columns), dtype=np.uint16)


@dataclass
class _Labelled:
    """What an ``xarray.DataArray`` looks like, without xarray."""

    values: np.ndarray[Any, Any]
    dims: tuple[str, ...]
    coords: dict[str, Any] = field(default_factory=dict)


def _read(scene: ArrayScene) -> np.ndarray[Any, np.dtype[np.uint16]]:
    known = scene.metadata
    whole = np.zeros((len(known.bands), known.height, known.width), np.uint16)
    with scene.strips(2) as strips:
        for strip in strips:
            _, rows, columns = strip.digital_numbers.shape
            area = whole[:, strip.top : strip.top + rows, strip.left : strip.left + columns]
            assert not area.any()
            area[:] = strip.digital_numbers
    return whole


def test_digital_numbers_come_out_as_they_went_in_without_a_copy() -> None:
    block = _block()
    place = Georeference("EPSG:32632", (10, 0, 5e5, 0, -10, 5e6))
    scene = ArrayScene.from_digital_numbers(
        block, BANDS, offset=0, name="patch", ground_sample_distance=20, georeference=place
    )
    np.testing.assert_array_equal(_read(scene), block)
    assert np.shares_memory(scene.digital_numbers, block)
    known = scene.metadata
    assert (known.height, known.width, known.ground_sample_distance) == (300, 250, 20)
    assert (known.name, known.bands, known.georeference) == ("patch", BANDS, place)
    assert known.offsets == dict.fromkeys(BANDS, 0)
    assert str(scene) == "patch"


@pytest.mark.parametrize("columns", [64, 250, None])
def test_panels_cover_every_pixel_once(columns: int | None) -> None:
    block = _block()
    whole = ArrayScene.from_digital_numbers(block, BANDS, offset=0)
    np.testing.assert_array_equal(_read(ArrayScene(whole.metadata, block, columns)), block)


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.uint8, np.int64, ">u2"])
def test_other_integers_are_taken_as_long_as_they_are_digital_numbers(kind: Any) -> None:
    block = (_block() % 100).astype(kind)
    scene = ArrayScene.from_digital_numbers(block, BANDS, offset=-1000)
    assert scene.digital_numbers.dtype == np.uint16
    np.testing.assert_array_equal(scene.digital_numbers, block)


def test_bands_are_chosen_and_ordered_by_name() -> None:
    block = _block()
    scene = ArrayScene.from_digital_numbers(block, ("B08", "B11", "B02", "B04"), offset=0)
    chosen = scene.in_bands(("B02", "B04", "B08"))
    assert chosen.metadata.bands == ("B02", "B04", "B08")
    np.testing.assert_array_equal(_read(chosen), block[[2, 3, 0]])
    assert chosen.in_bands(("B02", "B04", "B08")) is chosen
    with pytest.raises(MissingBand, match="has the bands B08 B11 B02 B04, but not B03") as missing:
        scene.in_bands(BANDS)
    assert missing.value.fields == {"bands": ["B03"]}


@pytest.mark.parametrize("offset", [-1000, 0, -10_000])
def test_float32_reflectance_restores_the_digital_numbers(offset: int) -> None:
    numbers = np.arange(1, 65_536, dtype=np.uint16)[None, None].repeat(2, axis=1)
    reflectance = ((numbers.astype(np.float64) + offset) / 10_000).astype(np.float32)
    scene = ArrayScene.from_reflectance(reflectance, ("B03",), offset=offset)
    np.testing.assert_array_equal(scene.digital_numbers, numbers)


def test_not_a_number_is_no_data_and_a_dark_pixel_is_not() -> None:
    reflectance = np.array([[[np.nan, -0.3, -0.1, 0.0, 0.00005, 1.0, 6.4535]]])
    scene = ArrayScene.from_reflectance(reflectance, ["B02"])
    assert scene.digital_numbers.tolist() == [[[0, 1, 1, 1000, 1000, 11_000, 65_535]]]


def test_masked_pixels_are_no_data() -> None:
    hidden = np.zeros((4, 300, 250), bool)
    hidden[:, 5:9] = True
    numbers = np.ma.MaskedArray(_block(), hidden)
    scene = ArrayScene.from_digital_numbers(numbers, BANDS, offset=0)
    assert not scene.digital_numbers[hidden].any()
    assert scene.digital_numbers[~hidden].all()
    reflectance = np.ma.MaskedArray(np.full(hidden.shape, 0.2), hidden)
    held = ArrayScene.from_reflectance(reflectance, BANDS).digital_numbers
    np.testing.assert_array_equal(held == 0, hidden)


@pytest.mark.parametrize("make", ["from_digital_numbers", "from_reflectance"])
def test_without_an_offset_a_pixel_masked_in_one_band_is_no_data_in_all(make: str) -> None:
    kind = np.uint16 if make == "from_digital_numbers" else np.float32
    hidden = np.zeros((4, 2, 3), bool)
    hidden[1, 0, 2] = True
    given_block = np.ma.MaskedArray(np.ones((4, 2, 3), kind), hidden)
    scene = getattr(ArrayScene, make)(given_block, BANDS, offset=0)
    found = scene.digital_numbers == 0
    np.testing.assert_array_equal(found, np.broadcast_to(hidden.any(axis=0), found.shape))
    assert given_block.data.all()


def test_rows_of_reflectance_beyond_one_strip_are_all_converted() -> None:
    reflectance = np.random.default_rng(2).uniform(0, 1, (4, 300, 9)).astype(np.float32)
    scene = ArrayScene.from_reflectance(reflectance, BANDS)
    expected = np.rint(reflectance.astype(np.float64) * 10_000 + 1000)
    np.testing.assert_array_equal(scene.digital_numbers, expected)


@pytest.mark.parametrize(
    ("dimensions", "axes"),
    [
        (("band", "y", "x"), (0, 1, 2)),
        (("y", "x", "band"), (1, 2, 0)),
        (("band", "x", "y"), (0, 2, 1)),
        (("y", "band", "x"), (1, 0, 2)),
    ],
)
def test_a_labelled_block_is_read_by_its_dimensions(
    dimensions: tuple[str, ...], axes: tuple[int, ...]
) -> None:
    block = _block()
    labels = np.array(["B08", "B04", "B03", "B02"])
    labelled = _Labelled(block.transpose(axes), dimensions, {"band": labels})
    scene = ArrayScene.from_digital_numbers(labelled, offset=0)
    assert scene.metadata.bands == ("B08", "B04", "B03", "B02")
    np.testing.assert_array_equal(scene.digital_numbers, block)


def test_a_label_is_an_object_with_values_as_xarrays_is_and_names_given_go_first() -> None:
    labels = _Labelled(np.array([1, 2, 3, 4]), ("band",))  # as rioxarray counts bands
    labelled = _Labelled(_block(), ("band", "y", "x"), {"band": labels})
    with pytest.raises(UsageError, match=r"bands \(1, 2, 3, 4\) are not different bands"):
        ArrayScene.from_digital_numbers(labelled, offset=0)
    scene = ArrayScene.from_digital_numbers(labelled, BANDS, offset=0)
    assert scene.metadata.bands == BANDS


@pytest.mark.parametrize(
    ("block", "bands", "expected"),
    [
        (np.zeros((4, 10), np.uint16), BANDS, r"the block has the shape \(4, 10\), not"),
        (np.zeros((4, 0, 10), np.uint16), BANDS, r"the block has the shape \(4, 0, 10\), not"),
        (np.zeros((3, 5, 5), np.uint16), BANDS, "the block has 3 planes, but 4 bands are named"),
        (np.zeros((4, 5, 5), np.uint16), None, "the block does not name its bands"),
        (np.zeros((2, 5, 5), np.uint16), ("B02", "B02"), "are not different bands of Sentinel-2"),
        (np.zeros((1, 5, 5), np.uint16), ("red",), r"bands \(red\) are not different bands"),
        (np.full((1, 5, 5), -3), "B02", "must hold 0 to 65535, got -3"),
        (np.full((1, 5, 5), 70_000), "B02", "must hold 0 to 65535, got 70000"),
        (np.zeros((1, 5, 5)), "B02", "must hold integers, got float64"),
        (np.zeros((1, 5, 5), bool), "B02", "must hold integers, got bool"),
        (_Labelled(np.zeros((1, 5, 5)), ("time", "y", "x")), "B02", r"\(time, y, x\), not band"),
        (_Labelled(_block(), ("band", "y", "x")), None, "does not name its bands"),
    ],
)
def test_a_block_that_cannot_be_a_scene_is_refused(
    block: Any, bands: tuple[str, ...] | None, expected: str
) -> None:
    with pytest.raises(UsageError, match=expected):
        ArrayScene.from_digital_numbers(block, bands, offset=0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(8123), "must hold -1 to 6.4535, got 8123"),
        (np.float32(-9999), "must hold -1 to 6.4535, got -9999"),
        (np.float32("inf"), "must hold -1 to 6.4535, got inf"),
        (np.uint16(1), "must hold floating-point numbers, got uint16"),
    ],
)
def test_what_cannot_be_reflectance_is_refused(value: np.generic, expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        ArrayScene.from_reflectance(np.full((1, 3, 3), value), ("B02",))


@pytest.mark.parametrize("offset", [1, -10_001])
def test_an_offset_that_no_product_has_is_refused(offset: int) -> None:
    with pytest.raises(UsageError, match=f"offset must be between -10000 and 0, got {offset}"):
        ArrayScene.from_digital_numbers(_block(), BANDS, offset=offset)
