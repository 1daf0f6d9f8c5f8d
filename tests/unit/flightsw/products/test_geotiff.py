"""The mask as NumPy array and as 1-bit GeoTIFF, and the class map."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import rasterio
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning

from flightsw.products.geotiff import CLASS_COLOURS


def test_mask_array_is_the_mask_and_can_be_mapped(simulate, tmp_path):
    scene = simulate(70, 33)

    path = scene.publish(tmp_path, "mask", splits=(1, 40)).paths("mask")[0]

    mask = np.load(path, mmap_mode="r", allow_pickle=False)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, scene.mask)


def test_geotiff_reads_back_exactly(simulate, tmp_path):
    scene = simulate(301, 133)

    path = scene.publish(tmp_path, "geotiff", splits=(7, 150)).paths("geotiff")[0]

    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(_mask_of(dataset), scene.mask)


def test_geotiff_is_one_bit_and_group_four(simulate, tmp_path):
    path = simulate(301, 133).publish(tmp_path, "geotiff").paths("geotiff")[0]

    with rasterio.open(path) as dataset:
        assert dataset.driver == "GTiff"
        assert dataset.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "CCITTFAX4"
        assert dataset.tags(1, ns="IMAGE_STRUCTURE")["NBITS"] == "1"
        assert dataset.mask_flag_enums == ([MaskFlags.per_dataset],)
        assert dataset.tags()["model"] == "dtacsnet-cd-1"
    assert len(list(tmp_path.iterdir())) == 1  # the mask lies inside, not beside


@pytest.mark.parametrize("product", ["geotiff", "classes"])
def test_geotiff_carries_the_georeference(simulate, tmp_path, product):
    path = simulate(30, 20).publish(tmp_path, product).paths(product)[0]

    with rasterio.open(path) as dataset:
        assert dataset.crs.to_epsg() == 32629
        assert dataset.transform == rasterio.Affine(10, 0, 499_980, 0, -10, 6_100_020)
        assert dataset.tags()["AREA_OR_POINT"] == "Area"


@pytest.mark.parametrize("value", [0, 1])
def test_geotiff_without_no_data_is_valid_everywhere(simulate, tmp_path, value):
    scene = simulate(140, 20)
    scene = scene.with_mask(np.full_like(scene.mask, value))

    path = scene.publish(tmp_path, "geotiff").paths("geotiff")[0]

    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(_mask_of(dataset), scene.mask)


def test_geotiff_of_a_scene_without_georeference_has_none(simulate, tmp_path):
    scene = simulate(30, 20).with_metadata(georeference=None)

    path = scene.publish(tmp_path, "geotiff").paths("geotiff")[0]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as dataset:
            assert dataset.crs is None
            assert dataset.transform.is_identity
            np.testing.assert_array_equal(_mask_of(dataset), scene.mask)


def test_real_clouds_take_a_few_kilobytes(simulate, tmp_path):
    rows, columns = np.mgrid[:600, :600]
    scene = simulate(600, 600)
    scene = scene.with_mask(((rows - 300) ** 2 + (columns - 200) ** 2 < 150**2).astype(np.uint8))

    published = scene.publish(tmp_path, "geotiff")

    assert published.files[0].bytes < 6_000  # 1 bit a pixel would be 45,000


def test_class_map_holds_the_classes_in_their_colours(simulate, tmp_path):
    scene = simulate(520, 530)

    path = scene.publish(tmp_path, "classes", splits=(100, 513)).paths("classes")[0]

    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(1), scene.classes)
        assert set(np.unique(scene.classes)) == {0, 1, 2, 3, 255}
        assert dataset.nodata == 255
        assert dataset.block_shapes == [(512, 512)]
        colours = dataset.colormap(1)
        assert tuple(colours[index][:3] for index in range(4)) == CLASS_COLOURS


def test_class_map_needs_rows_with_classes(simulate, tmp_path):
    scene = simulate(8, 8)
    rows = scene.rows()[0]
    without = type(rows)(rows.top, rows.digital_numbers, rows.mask, None)

    with (
        scene.product_set(tmp_path, "classes") as products,
        pytest.raises(ValueError, match="no classes"),
    ):
        products.write(without)


def _mask_of(dataset):
    return np.where(dataset.dataset_mask() == 0, np.uint8(255), dataset.read(1))
