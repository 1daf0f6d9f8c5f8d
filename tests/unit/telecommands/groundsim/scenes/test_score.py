"""A mask's figures are those that a hand computes, and keep the rules of any figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from telecommands.ground.errors import NotAMask, ShapeMismatch
from telecommands.groundsim.cli import main
from telecommands.groundsim.scenes.score import EDGE, score, score_files

MASK = np.array([[1, 1, 0, 0, 255], [1, 0, 0, 1, 1]], dtype=np.uint8)
TRUTH = np.array([[1, 2, 3, 0, 1], [0, 0, 0, 3, 255]], dtype=np.uint8)

shapes = array_shapes(min_dims=2, max_dims=2, max_side=24)
masks = arrays(np.uint8, shapes, elements=st.sampled_from([0, 1, 255]))


def test_figures_are_those_computed_by_hand() -> None:
    record = score(MASK, TRUTH).as_record()
    # Valid: 8 pixels.  Hits: 3, false alarm: 1, miss: 1, rejections: 3.
    assert record["pixels"] == 8
    assert record["true_positive"] == 3
    assert record["false_positive"] == 1
    assert record["false_negative"] == 1
    assert record["true_negative"] == 3
    assert record["agreement"] == 6 / 8
    assert record["precision"] == record["recall"] == 3 / 4
    assert record["f2"] == pytest.approx(0.75)
    assert record["iou"] == 3 / 5
    assert record["mask_fraction"] == record["truth_fraction"] == 4 / 8


def test_the_geotiff_that_goes_down_scores_as_its_array_does(tmp_path: Path) -> None:
    np.save(tmp_path / "truth.npy", TRUTH)
    np.save(tmp_path / "mask.npy", MASK)
    height, width = MASK.shape
    options = {"height": height, "width": width, "count": 1, "dtype": "uint8", "nbits": 1}
    transform = rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            tmp_path / "mask.tif", "w", "GTiff", crs="EPSG:32632", transform=transform, **options
        ) as file,
    ):
        file.write(MASK * (MASK != 255), 1)
        file.write_mask(MASK != 255)
    assert score_files(tmp_path / "mask.tif", tmp_path / "truth.npy") == score_files(
        tmp_path / "mask.npy", tmp_path / "truth.npy"
    )
    (tmp_path / "broken.tif").write_bytes(b"II*\0 no tiff")
    with pytest.raises(NotAMask, match="cannot be read"):
        score_files(tmp_path / "broken.tif", tmp_path / "truth.npy")


def test_f2_weighs_recall_more() -> None:
    truth = np.array([[1, 1, 1, 1, 0, 0]], dtype=np.uint8)
    mask = np.array([[1, 1, 0, 0, 1, 0]], dtype=np.uint8)
    precision, recall = 2 / 3, 2 / 4
    assert score(mask, truth).f2 == pytest.approx(5 * precision * recall / (4 * precision + recall))


def test_agreement_off_edges_leaves_out_the_boundary() -> None:
    truth = np.zeros((20, 40), dtype=np.uint8)
    truth[:, 20:] = 1
    mask = np.zeros_like(truth)
    mask[:, 20 + EDGE :] = 1  # wrong only within the boundary's reach
    found = score(mask, truth)
    assert found.pixels_off_edges == 20 * (40 - 2 * EDGE)
    assert found.agreement_off_edges == 1
    assert found.agreement == 1 - EDGE / 40
    mask[:, 20 + EDGE] = 0
    assert score(mask, truth).agreement_off_edges == 1 - 1 / (40 - 2 * EDGE)


def test_strips_meet_without_a_seam() -> None:
    truth = np.zeros((2100, 8), dtype=np.uint8)
    truth[1024:] = 1
    found = score(truth.copy(), truth)
    assert found.pixels_off_edges == (2100 - 2 * EDGE) * 8


@pytest.mark.parametrize("decimation", [2, 4])
def test_coarser_masks_are_compared_with_every_nth_pixel(decimation: int) -> None:
    truth = np.random.default_rng(0).integers(0, 4, (37, 50), dtype=np.uint8)
    mask = (truth[::decimation, ::decimation] != 0).astype(np.uint8)
    found = score(mask, truth)
    assert found.decimation == decimation
    assert found.agreement == 1


def test_figures_without_a_denominator_are_undefined() -> None:
    clear = np.zeros((5, 5), dtype=np.uint8)
    assert score(clear, clear).f2 is None
    assert score(clear, clear).agreement == 1
    assert score(np.full_like(clear, 255), clear).agreement is None


@given(masks)
def test_a_mask_agrees_with_itself(mask: NDArray[np.uint8]) -> None:
    found = score(mask, mask)
    assert found.agreement in (1, None)
    assert found.false_positive == found.false_negative == 0
    assert found.pixels == np.count_nonzero(mask != 255)


@given(st.data())
def test_counts_add_up_and_swapping_swaps_precision_and_recall(data: st.DataObject) -> None:
    mask = data.draw(masks)
    truth = data.draw(arrays(np.uint8, mask.shape, elements=st.sampled_from([0, 1, 255])))
    one, other = score(mask, truth), score(truth, mask)
    assert one.pixels == np.count_nonzero((mask != 255) & (truth != 255))
    assert one.precision == other.recall
    assert one.intersection_over_union == other.intersection_over_union
    assert one.pixels_off_edges <= one.pixels
    for figure in (one.agreement, one.f2, one.intersection_over_union, one.agreement_off_edges):
        assert figure is None or 0 <= figure <= 1


@given(masks)
def test_the_kind_of_contamination_does_not_count(mask: NDArray[np.uint8]) -> None:
    kinds = np.where(mask == 1, 1 + np.arange(mask.size).reshape(mask.shape) % 3, mask)
    assert score(mask, kinds.astype(np.uint8)) == score(mask, mask)


def test_the_command_reads_files_and_prints_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask, truth = tmp_path / "mask.npy", tmp_path / "truth.npy"
    np.save(mask, MASK)
    np.save(truth, TRUTH)
    assert main(["score", str(mask), str(truth), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == score(MASK, TRUTH).as_record()
    assert main(["score", str(mask), str(truth)]) == 0
    assert "agreement" in capsys.readouterr().out


def test_what_is_not_a_mask_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = tmp_path / "truth.npy"
    np.save(truth, TRUTH)
    text = tmp_path / "text.npy"
    text.write_text("no array")
    floats = tmp_path / "floats.npy"
    np.save(floats, TRUTH.astype(float))
    archive = tmp_path / "archive.npy"
    with archive.open("wb") as file:
        np.savez(file, TRUTH)
    for path in (tmp_path / "absent.npy", text, floats, archive):
        with pytest.raises(NotAMask):
            score_files(path, truth)
        assert main(["score", str(path), str(truth)]) == 1
        assert path.name in capsys.readouterr().err


def test_unequal_shapes_and_foreign_values_are_refused() -> None:
    with pytest.raises(ShapeMismatch):
        score(MASK[:, :3], TRUTH)
    with pytest.raises(NotAMask):
        score(np.full_like(MASK, 7), TRUTH)
    with pytest.raises(NotAMask):
        score(MASK, np.full_like(TRUTH, 9))
