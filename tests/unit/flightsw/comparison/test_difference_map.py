"""The map of the pixels on which two masks differ."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from flightsw.comparison.difference_map import COLOURS, LARGEST_SIDE, reduced, write_map
from flightsw.comparison.figures import OF_VALID, Finding, findings
from flightsw.errors import OutputNotWritable, UsageError
from flightsw.scene.scene import Georeference

_PLACE = Georeference("EPSG:32629", (10.0, 0.0, 499_980.0, 0.0, -10.0, 6_100_020.0))
_EVERY_CASE = (np.array([[0, 0, 1, 1, 255, 0]]), np.array([[0, 1, 0, 1, 1, 255]]))


def _every_case() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    a, b = (row.astype(np.uint8).repeat(3, axis=0) for row in _EVERY_CASE)
    return a, b


def _read_png(path: Path) -> NDArray[np.uint8]:
    """Red, green, blue of each pixel."""
    picture: NDArray[np.uint8] = cv2.imread(str(path))[..., ::-1]
    return picture


def test_each_finding_has_its_colour(tmp_path: Path) -> None:
    write_map(tmp_path / "map.png", *_every_case(), None)
    expected = [
        COLOURS[finding]
        for finding in (
            Finding.BOTH_CLEAR,
            Finding.ONLY_B,
            Finding.ONLY_A,
            Finding.BOTH_CONTAMINATED,
            Finding.NO_DATA,
            Finding.NO_DATA,
        )
    ]
    np.testing.assert_array_equal(_read_png(tmp_path / "map.png"), [expected] * 3)


def test_a_geotiff_holds_every_pixel_with_its_place_and_colours(tmp_path: Path) -> None:
    a, b = _every_case()
    write_map(tmp_path / "map.tif", a, b, _PLACE)
    with rasterio.open(tmp_path / "map.tif") as file:
        np.testing.assert_array_equal(file.read(1), findings(a, b))
        assert file.crs.to_string() == _PLACE.crs
        assert file.transform[:6] == _PLACE.transform
        assert file.nodata == 255
        assert file.colormap(1)[Finding.ONLY_A][:3] == COLOURS[Finding.ONLY_A]
        assert file.descriptions[0].startswith("0 both clear, 1 only b")


@pytest.mark.parametrize("value", [0, 1])
def test_one_disagreeing_pixel_stays_visible_in_a_large_scene(tmp_path: Path, value: int) -> None:
    a = np.full((LARGEST_SIDE * 2 + 100, 70), value, np.uint8)
    b = a.copy()
    b[3001, 44] = 1 - value
    write_map(tmp_path / "map.png", a, b, None)
    picture = _read_png(tmp_path / "map.png")
    assert picture.shape == (1498, 24, 3)
    colour = COLOURS[Finding.ONLY_A if value else Finding.ONLY_B]
    assert np.argwhere((picture == colour).all(axis=-1)).tolist() == [[3001 // 3, 44 // 3]]


@given(
    arrays(
        np.uint8,
        array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.sampled_from([0, 0, 1, 2, 3, 3, 255]),
    ),
    st.integers(1, 5),
)
def test_a_disagreement_wins_its_block_then_the_more_frequent(
    found: NDArray[np.uint8], factor: int
) -> None:
    chosen = reduced(found, factor)
    for (row, column), value in np.ndenumerate(chosen):
        block = found[row * factor : (row + 1) * factor, column * factor : (column + 1) * factor]
        counts = {finding: np.count_nonzero(block == finding) for finding in OF_VALID}
        if counts[Finding.ONLY_A] or counts[Finding.ONLY_B]:
            more = counts[Finding.ONLY_A] >= counts[Finding.ONLY_B]
            assert value == (Finding.ONLY_A if more else Finding.ONLY_B)
        elif counts[Finding.BOTH_CLEAR] or counts[Finding.BOTH_CONTAMINATED]:
            more = counts[Finding.BOTH_CONTAMINATED] >= counts[Finding.BOTH_CLEAR]
            assert value == (Finding.BOTH_CONTAMINATED if more else Finding.BOTH_CLEAR)
        else:
            assert value == Finding.NO_DATA


def test_a_map_replaces_an_earlier_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "map.png").write_text("an earlier map")
    write_map(tmp_path / "map.png", *_every_case(), None)
    assert _read_png(tmp_path / "map.png").shape == (3, 6, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["map.png"]


@pytest.mark.parametrize(
    ("name", "error", "cause"),
    [
        ("map.jpg", UsageError, "neither .png nor .tif"),
        ("none/map.png", OutputNotWritable, "none is not a folder"),
        ("folder.png", OutputNotWritable, "is a folder"),
        ("x" * 250 + ".png", OutputNotWritable, "name too long"),
    ],
)
def test_a_map_that_cannot_be_written_is_refused(
    tmp_path: Path, name: str, error: type[Exception], cause: str
) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(error, match=cause):
        write_map(tmp_path / name, *_every_case(), None)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]
