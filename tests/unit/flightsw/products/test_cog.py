"""Mask and cloud probability as cloud-optimised GeoTIFFs."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning

from flightsw.products.geotiff import CLASS_COLOURS


@pytest.fixture
def cog(simulate, tmp_path):
    """A published COG of 1300 x 700 pixels, open, and its scene."""
    scene = simulate(1300, 700)
    path = scene.publish(tmp_path, "cog", splits=(7, 515, 1200)).paths("cog")[0]
    with rasterio.open(path) as dataset:
        yield dataset, scene


def test_cog_holds_the_mask_with_no_data_as_a_value(cog):
    dataset, scene = cog

    np.testing.assert_array_equal(dataset.read(1), scene.mask)
    assert dataset.nodata == 255
    np.testing.assert_array_equal(dataset.read_masks(1) > 0, scene.mask != 255)


def test_cog_has_the_structure_of_one(cog):
    dataset, _ = cog

    structure = dataset.tags(ns="IMAGE_STRUCTURE")
    assert structure["LAYOUT"] == "COG"
    assert structure["COMPRESSION"] == "DEFLATE"
    assert dataset.block_shapes == [(512, 512)]
    assert dataset.overviews(1) == [2, 4]


def test_validator_of_cogs_accepts_it(cog):
    rio_cogeo = pytest.importorskip("rio_cogeo", reason="needs the extra dev")
    dataset, _ = cog

    assert rio_cogeo.cog_validate(dataset.name, strict=True) == (True, [], [])


def test_overviews_have_no_value_that_the_mask_lacks(cog):
    dataset, scene = cog

    reduced = dataset.read(1, out_shape=(325, 175))

    assert set(np.unique(reduced)) == {0, 1, 255}
    share, of_all = np.mean(reduced == 1), np.mean(scene.mask == 1)
    assert share == pytest.approx(of_all, abs=0.02)


def test_cog_has_a_colour_table_with_no_data_transparent(cog):
    dataset, _ = cog

    colours = dataset.colormap(1)
    assert dataset.colorinterp == (ColorInterp.palette,)
    assert (colours[0][:3], colours[1][:3]) == CLASS_COLOURS[:2]
    assert (colours[0][3], colours[1][3], colours[255][3]) == (255, 255, 0)


def test_cog_carries_georeference_and_origin(cog):
    dataset, _ = cog

    assert dataset.crs.to_epsg() == 32629
    assert dataset.transform == rasterio.Affine(10, 0, 499_980, 0, -10, 6_100_020)
    assert dataset.tags()["model"] == "dtacsnet-cd-1"
    assert dataset.descriptions == ("0 clear, 1 contaminated, 255 no data",)


def test_cog_without_georeference_has_none(simulate, tmp_path):
    scene = simulate(30, 20).with_metadata(georeference=None)

    path = scene.publish(tmp_path, "cog").paths("cog")[0]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as dataset:
            assert dataset.crs is None
            np.testing.assert_array_equal(dataset.read(1), scene.mask)


def test_probability_holds_per_cent_with_overviews_of_means(simulate, tmp_path):
    scene = simulate(600, 530)

    path = scene.publish(tmp_path, "probability", splits=(100, 513)).paths("probability")[0]

    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(1), scene.probability)
        assert dataset.nodata == 255
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        reduced = dataset.read(1, out_shape=(300, 265), masked=True)
        assert reduced.mean() == pytest.approx(scene.probability[scene.mask < 255].mean(), abs=1)


def test_probability_needs_rows_with_probabilities(simulate, tmp_path):
    scene = simulate(8, 8)
    rows = replace(scene.rows()[0], probability=None)

    with (
        scene.product_set(tmp_path, "probability") as products,
        pytest.raises(ValueError, match="rows have none"),
    ):
        products.write(rows)


def test_threshold_and_buffer_are_stated_in_every_geotiff(simulate, tmp_path):
    scene = simulate(30, 20)
    context = replace(scene.context, threshold_percent=30, buffer_m=100.0)

    published = replace(scene, context=context).publish(tmp_path, "cog", "geotiff", "probability")

    for file in published.files:
        with rasterio.open(tmp_path / file.name) as dataset:
            tags = dataset.tags()
            assert (tags["threshold"], tags["buffer"]) == ("30 %", "100 m")
