"""The set as a whole: which products, in which names, whatever the heights of the rows."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flightsw.errors import EmptyScene, ProductError, UsageError
from flightsw.products.report import REPORT_FORMAT, encode_report, read_report


@settings(max_examples=12)
@given(
    drawn=st.tuples(st.integers(1, 300), st.integers(1, 60), st.integers(0, 99)),
    splits=st.lists(st.integers(1, 300), max_size=12),
)
def test_files_are_the_same_bytes_however_the_rows_arrive(
    simulate, all_products, tmp_path_factory, drawn, splits
):
    scene = simulate(*drawn)
    assume(scene.summary().valid_pixels)
    whole = scene.publish(tmp_path_factory.mktemp("whole"), *all_products)
    split = scene.publish(tmp_path_factory.mktemp("split"), *all_products, splits=splits)

    assert whole.files == split.files  # names, sizes and SHA-256


def test_names_carry_tile_scene_percentage_and_engine(simulate, all_products, tmp_path):
    scene = simulate(40, 50)
    share = 100 * scene.summary().contaminated_share
    prefix = f"dtacsnet_T29UNU_{scene.metadata.name}_{round(share)}pct_axelera_"

    published = scene.publish(tmp_path / "out", *all_products)

    names = {path.name.removeprefix(prefix) for path in (tmp_path / "out").iterdir()}
    assert names == {
        "cloud_mask.npy",
        "cloud_mask.tif",
        "cloud_mask_cog.tif",
        "cloud_classes.tif",
        "cloud_probability.tif",
        "rgb_b02_rec.npy",
        "rgb_b03_rec.npy",
        "rgb_b04_rec.npy",
        "visualization.jpg",
        "stac.json",
        "report.json",
    }
    assert {path.name for path in published.paths("fill")} == {
        f"{prefix}rgb_b0{band}_rec.npy" for band in (2, 3, 4)
    }


def test_only_the_chosen_products_appear(simulate, tmp_path):
    simulate(40, 50).publish(tmp_path, "geotiff")

    assert [path.suffix for path in tmp_path.iterdir()] == [".tif"]


def test_names_stay_inside_the_folder_whatever_the_scene_is_called(simulate, tmp_path):
    scene = simulate(8, 8).with_metadata(name="../a scene", tile_id="up/../down")

    published = scene.publish(tmp_path / "out", "mask")

    assert re.fullmatch(
        r"dtacsnet_up_\.\._down_\.\._a_scene_20221005T115401_\d+pct_axelera_cloud_mask.npy",
        published.files[0].name,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_report_is_true_of_every_file(simulate, all_products, tmp_path):
    scene = simulate(40, 50)

    published = scene.publish(tmp_path, *all_products)

    report = read_report(published.paths("report")[0])
    assert len(report.files) == len(published.files) - 1  # it cannot hold its own checksum
    for record in report.files:
        content = (tmp_path / record.name).read_bytes()
        assert (record.bytes, record.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    own = published.files[-1]
    assert own.sha256 == hashlib.sha256((tmp_path / own.name).read_bytes()).hexdigest()


def test_report_holds_the_figures_of_the_scene(simulate, tmp_path):
    scene = simulate(40, 50)
    summary = scene.summary()

    published = scene.publish(tmp_path, "report")

    report = read_report(published.paths("report")[0])
    assert report == published.report
    assert report.summary == summary
    assert report.cloud_percentage == pytest.approx(100 * summary.contaminated_share)
    assert sum(report.fractions.values()) == pytest.approx(1)
    assert report.valid_fraction == pytest.approx(summary.valid_pixels / 2000)
    assert report.tiles_per_second == 16
    assert report.model.id == "dtacsnet-cd-1"
    assert report.scene.remarks == ("cut for a test",)
    assert report.scene.offsets["B04"] == -990
    assert report.scene.sensed_at == "2022-10-05T11:54:01+00:00"
    assert report.notes == ()


def test_report_states_threshold_and_buffer(simulate, tmp_path):
    scene = simulate(40, 50)
    context = replace(scene.context, threshold_percent=30, buffer_m=100.0)

    report = replace(scene, context=context).publish(tmp_path, "report").report

    assert (report.threshold_percent, report.buffer_m) == (30, 100.0)


def test_report_of_a_newer_format_is_refused(simulate, tmp_path):
    published = simulate(8, 8).publish(tmp_path, "report")
    newer = tmp_path / "newer.json"
    newer.write_bytes(
        encode_report(published.report).replace(
            f'"format": {REPORT_FORMAT}'.encode(), f'"format": {REPORT_FORMAT + 1}'.encode()
        )
    )

    with pytest.raises(ProductError, match="newer"):
        read_report(newer)


def test_file_that_is_not_a_report_is_refused(tmp_path):
    (tmp_path / "report.json").write_text('{"format": "one"}')

    with pytest.raises(ProductError, match="not a readable report"):
        read_report(tmp_path / "report.json")


def test_scene_without_georeference_is_remarked_on(simulate, all_products, tmp_path):
    scene = simulate(20, 20).with_metadata(georeference=None)

    published = scene.publish(tmp_path, *all_products)

    assert any("no georeference" in note for note in published.report.notes)
    assert published.report.scene.crs is None


def test_unknown_product_is_a_usage_error_that_names_the_known_ones(simulate, tmp_path):
    with pytest.raises(UsageError, match="mask, geotiff, cog, classes, probability") as raised:
        simulate(8, 8).product_set(tmp_path / "out", "mask", "hologram")

    assert raised.value.subject == "hologram"
    assert not (tmp_path / "out").exists()


def test_choosing_nothing_is_a_usage_error(simulate, tmp_path):
    with pytest.raises(UsageError):
        simulate(8, 8).product_set(tmp_path)


def test_class_map_of_a_two_class_model_is_a_usage_error(simulate, tmp_path):
    scene = simulate(8, 8)
    binary = replace(scene, context=replace(scene.context, classes=("clear", "contaminated")))

    with pytest.raises(UsageError, match="only distinguishes clear and contaminated"):
        binary.product_set(tmp_path, "classes")


def test_product_whose_band_is_not_read_is_a_usage_error(simulate, tmp_path):
    scene = simulate(8, 8).with_metadata(bands=("B02", "B03", "B04", "B11"))

    scene.product_set(tmp_path, "fill")
    with pytest.raises(UsageError, match="B08"):
        scene.product_set(tmp_path, "quicklook")


@pytest.mark.parametrize("order", [(1,), (0, 0), (0, 2)])
def test_rows_out_of_order_are_refused(simulate, tmp_path, order):
    scene = simulate(30, 8)
    rows = scene.rows((10, 20))

    with scene.product_set(tmp_path, "mask") as products:
        for index in order[:-1]:
            products.write(rows[index])
        with pytest.raises(ValueError, match="due"):
            products.write(rows[order[-1]])


def test_publishing_before_the_last_row_is_refused(simulate, tmp_path):
    scene = simulate(30, 8)

    with scene.product_set(tmp_path, "mask") as products:
        products.write(scene.rows((10,))[0])
        with pytest.raises(ValueError, match="10 of 30"):
            products.publish(scene.summary())

    assert not list(tmp_path.iterdir())


def test_scene_without_a_valid_pixel_publishes_nothing(simulate, tmp_path):
    scene = simulate(8, 8)
    empty = scene.with_mask(scene.mask * 0 + 255)

    with pytest.raises(EmptyScene):
        empty.publish(tmp_path, "mask", "report")

    assert not list(tmp_path.iterdir())
