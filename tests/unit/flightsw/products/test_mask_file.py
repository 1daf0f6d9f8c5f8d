"""Masks read back: arrays and GeoTIFFs, alone or in a product folder, and what is not a mask."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from flightsw.errors import FlightError, ProductError, UsageError
from flightsw.products.mask_file import open_mask
from tests.unit.flightsw.products.conftest import Simulated

Simulate = Callable[..., Simulated]


def _all_rows(path: Path, step: int = 64) -> np.ndarray[Any, np.dtype[np.uint8]]:
    with open_mask(path) as mask:
        height = mask.shape[0]
        return np.concatenate([mask[top : top + step] for top in range(0, height, step)])


def _save(path: Path, values: object, dtype: type = np.uint8) -> Path:
    np.save(path, np.asarray(values, dtype))
    return path


def _save_geotiff(path: Path, values: np.ndarray[Any, Any], **options: Any) -> Path:
    planes = values.reshape(-1, *values.shape[-2:])
    size = {"count": len(planes), "height": values.shape[-2], "width": values.shape[-1]}
    place = {"crs": "EPSG:32629", "transform": rasterio.Affine(10, 0, 0, 0, -10, 0)}
    with rasterio.open(
        path, "w", driver="GTiff", dtype=values.dtype, **size, **place, **options
    ) as file:
        file.write(planes)
    return path


@pytest.mark.parametrize("product", ["mask", "geotiff", "cog"])
@pytest.mark.parametrize("step", [1, 37, 128, 500])
def test_rows_of_a_product_are_those_of_the_mask(
    simulate: Simulate, tmp_path: Path, product: str, step: int
) -> None:
    scene = simulate(301, 133)
    path = scene.publish(tmp_path, product).paths(product)[0]
    np.testing.assert_array_equal(_all_rows(path, step), scene.mask)


@pytest.mark.parametrize("products", [("mask", "report"), ("geotiff", "report"), ("cog", "report")])
def test_a_product_folder_is_read_by_its_report(
    simulate: Simulate, tmp_path: Path, products: tuple[str, ...]
) -> None:
    scene = simulate(60, 50)
    scene.publish(tmp_path, *products)
    with open_mask(tmp_path) as mask:
        assert mask.shape == (60, 50)
        assert mask.scene == scene.metadata.name
        assert mask.engine == "dimc int8"
        assert mask.georeference == scene.metadata.georeference
        np.testing.assert_array_equal(mask[0:60], scene.mask)


@pytest.mark.parametrize(
    "products", [("mask",), ("geotiff",), ("cog",), ("mask", "geotiff", "cog")]
)
def test_a_folder_without_report_is_read_by_its_only_mask(
    simulate: Simulate, tmp_path: Path, products: tuple[str, ...]
) -> None:
    scene = simulate(60, 50)
    scene.publish(tmp_path, *products)
    np.testing.assert_array_equal(_all_rows(tmp_path), scene.mask)


def test_a_scene_without_georeference_gives_none(simulate: Simulate, tmp_path: Path) -> None:
    scene = simulate(60, 50).with_metadata(georeference=None)
    for path in scene.publish(tmp_path, "mask", "geotiff", "report").paths("geotiff"):
        with open_mask(path) as mask:
            assert mask.georeference is None
    with open_mask(tmp_path) as mask:
        assert mask.georeference is None


def test_the_classes_of_a_truth_array_are_contaminated(tmp_path: Path) -> None:
    path = _save(tmp_path / "truth.npy", [[0, 1, 2], [3, 255, 0]])
    np.testing.assert_array_equal(_all_rows(path), [[0, 1, 1], [1, 255, 0]])


def test_an_array_in_column_order_is_read(tmp_path: Path) -> None:
    values = np.asfortranarray(np.random.default_rng(0).integers(0, 2, (9, 7), np.uint8))
    np.testing.assert_array_equal(_all_rows(_save(tmp_path / "a.npy", values), 4), values)


def test_a_geotiff_of_whole_bytes_is_read(tmp_path: Path) -> None:
    values = np.array([[0, 1], [255, 0]], np.uint8)
    np.testing.assert_array_equal(_all_rows(_save_geotiff(tmp_path / "a.tif", values)), values)
    path = _save_geotiff(tmp_path / "b.tif", values, nodata=0)
    np.testing.assert_array_equal(_all_rows(path), [[255, 1], [255, 255]])


def _text(path: Path) -> Path:
    path.write_text("no mask at all")
    return path


def _archive(path: Path) -> Path:
    np.savez(path.with_suffix(".npz"), np.zeros((2, 2), np.uint8))
    return path.with_suffix(".npz").rename(path)


def _objects(path: Path) -> Path:
    np.save(path, np.array([[{}]], dtype=object), allow_pickle=True)
    return path


def _truncated_array(path: Path) -> Path:
    path.write_bytes(_save(path, np.zeros((50, 50))).read_bytes()[:-100])
    return path


def _zipped_badly(path: Path) -> Path:
    path.write_bytes(b"PK\x03\x04 and no archive")
    return path


def _header_cut_off(path: Path) -> Path:
    header = b"{'descr': '|u1', 'fortran_order': (\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    return path


def _truncated_geotiff(path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 2, (50, 50), np.uint8)
    path.write_bytes(_save_geotiff(path, noise).read_bytes()[:-100])
    return path


@pytest.mark.parametrize(
    ("make", "name", "cause"),
    [
        (_text, "a.npy", "cannot be read"),
        (_text, "a.tif", "cannot be read"),
        (_archive, "a.npy", "cannot be read"),
        (_objects, "a.npy", "cannot be read"),
        (_zipped_badly, "a.npy", "cannot be read"),
        (_header_cut_off, "a.npy", "cannot be read"),
        (_truncated_array, "a.npy", "cannot be read"),
        (_truncated_geotiff, "a.tif", "cannot be read"),
        (lambda path: _save(path, [[0, 7]]), "a.npy", "is not a mask: it holds the value 7"),
        (lambda path: _save(path, [[0]], np.float32), "a.npy", "is not a mask: it holds float32"),
        (lambda path: _save(path, [0, 1]), "a.npy", "is not a mask: it has the shape (2,)"),
        (lambda path: _save(path, np.zeros((0, 4))), "a.npy", "is not a mask: it has no pixel"),
        (
            lambda path: _save_geotiff(path, np.array([[0, 2]], np.uint8)),
            "a.tif",
            "is not a mask: it holds the value 2",
        ),
        (
            lambda path: _save_geotiff(path, np.zeros((2, 3, 3), np.uint8)),
            "a.tif",
            "is not a mask: it has 2 bands",
        ),
        (
            lambda path: _save_geotiff(path, np.zeros((3, 3), np.uint16)),
            "a.tif",
            "is not a mask: it holds uint16",
        ),
    ],
)
def test_what_is_not_a_mask_is_refused_in_one_line(
    tmp_path: Path, make: Callable[[Path], Path], name: str, cause: str
) -> None:
    path = make(tmp_path / name)
    with pytest.raises(ProductError) as refused:
        _all_rows(path)
    assert refused.value.subject == str(path)
    assert cause in refused.value.cause
    assert refused.value.cure
    assert "\n" not in str(refused.value)


def _refusal(path: Path) -> FlightError:
    with pytest.raises(FlightError) as refused:
        _all_rows(path)
    return refused.value


def test_what_is_not_there_or_of_another_kind_is_a_wrong_command_line(tmp_path: Path) -> None:
    other = tmp_path / "picture.jpg"
    other.touch()
    for path, cause in (
        (tmp_path / "none.npy", "does not exist"),
        (other, "is neither .npy nor .tif"),
        (tmp_path, "holds no cloud mask"),
    ):
        error = _refusal(path)
        assert isinstance(error, UsageError)
        assert (error.subject, error.cause) == (str(path), cause)


@pytest.mark.parametrize("products", [("mask",), ("mask", "report")])
def test_two_masks_in_one_folder_are_named(
    simulate: Simulate, tmp_path: Path, products: tuple[str, ...]
) -> None:
    simulate(60, 50).publish(tmp_path, *products)
    simulate(60, 50).with_metadata(tile_id="T31UGQ").publish(tmp_path, *products)
    error = _refusal(tmp_path)
    assert isinstance(error, UsageError)
    assert "holds several masks" in error.cause
    assert "T29UNU" in error.cause
    assert "T31UGQ" in error.cause


def test_a_mask_that_is_not_the_reports_is_refused(simulate: Simulate, tmp_path: Path) -> None:
    published = simulate(60, 50).publish(tmp_path, "mask", "report")
    mask = published.paths("mask")[0]
    _save(mask, np.zeros((60, 49)))
    assert "has 3,068 bytes, but" in _refusal(tmp_path).cause
    mask.unlink()
    assert "does not exist, but" in _refusal(tmp_path).cause


def test_a_report_without_a_mask_is_named(simulate: Simulate, tmp_path: Path) -> None:
    simulate(60, 50).publish(tmp_path, "stac", "report")
    assert "lists no mask" in _refusal(tmp_path).cause


def test_a_report_that_cannot_be_read_is_refused(simulate: Simulate, tmp_path: Path) -> None:
    simulate(60, 50).publish(tmp_path, "mask", "report")
    next(tmp_path.glob("*_report.json")).write_text("{")
    assert isinstance(_refusal(tmp_path), ProductError)


def test_a_copy_of_a_product_folder_is_read_where_it_lies(
    simulate: Simulate, tmp_path: Path
) -> None:
    scene = simulate(60, 50)
    scene.publish(tmp_path / "first", "mask", "report")
    shutil.move(tmp_path / "first", tmp_path / "second")
    np.testing.assert_array_equal(_all_rows(tmp_path / "second"), scene.mask)
