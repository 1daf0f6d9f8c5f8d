"""The STAC item, read back with pystac."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pystac
import pytest
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.eo import EOExtension
from pystac.extensions.file import FileExtension
from pystac.extensions.grid import GridExtension
from pystac.extensions.projection import ProjectionExtension
from rasterio.warp import transform_bounds

from flightsw.errors import UsageError
from flightsw.products.contents import Experience
from flightsw.scene.scene import Georeference


@pytest.fixture
def publish_item(simulate, all_products, tmp_path):
    def publish(products=all_products, **changes):
        scene = simulate(40, 50).with_metadata(**changes)
        published = scene.publish(tmp_path, *products)
        return pystac.Item.from_file(str(published.paths("stac")[0])), scene

    return publish


def test_item_survives_a_round_trip(publish_item):
    item, _ = publish_item()

    again = pystac.Item.from_dict(item.to_dict(transform_hrefs=False), preserve_dict=True)

    assert again.to_dict() == item.to_dict()
    assert item.datetime.isoformat() == "2022-10-05T11:54:01+00:00"


def test_item_has_what_stac_requires_of_a_feature(simulate, tmp_path):
    published = simulate(40, 50).publish(tmp_path, "mask", "stac")

    item = json.loads(published.paths("stac")[0].read_text())

    assert item["type"] == "Feature"
    assert item["stac_version"].startswith("1.")
    assert item["links"] == []
    for asset in item["assets"].values():
        assert (tmp_path / asset["href"]).is_file()


def test_item_is_named_after_scene_and_engine(publish_item):
    item, scene = publish_item()

    assert item.id == f"{scene.metadata.name}_axelera"


def test_item_and_report_name_the_unit_that_processed_the_scene(simulate, tmp_path):
    scene = simulate(40, 50)
    scene = replace(scene, context=replace(scene.context, unit="sat-a"))
    published = scene.publish(tmp_path, "mask", "stac", "report")

    item = json.loads(published.paths("stac")[0].read_text())
    report = json.loads(published.paths("report")[0].read_text())

    assert item["properties"]["flightsw:unit"] == report["unit"] == "sat-a"
    assert item["id"] == f"{scene.metadata.name}_axelera_sat-a"


def test_item_and_report_say_how_far_the_scene_is_from_the_models_experience(simulate, tmp_path):
    known = replace(simulate(40, 50), experience=Experience(1.25, True, "sea ice", 9000))
    published = known.publish(tmp_path / "known", "mask", "stac", "report")
    item = json.loads(published.paths("stac")[0].read_text())
    report = json.loads(published.paths("report")[0].read_text())
    found = report["summary"]["experience"]
    assert (found["distance"], found["outside"], found["towards"]) == (1.25, True, "sea ice")
    assert item["properties"]["flightsw:experience_distance"] == 1.25
    assert item["properties"]["flightsw:outside_experience"] is True
    published = simulate(40, 50).publish(tmp_path / "not-known", "mask", "stac")
    assert "flightsw:outside_experience" not in published.paths("stac")[0].read_text()


def test_cloud_cover_is_of_valid_pixels_and_says_that_shadow_counts(publish_item):
    item, scene = publish_item()

    share = 100 * scene.summary().contaminated_share
    assert EOExtension.ext(item).cloud_cover == pytest.approx(share, abs=0.01)
    assert "shadow counts" in item.common_metadata.description


def test_item_says_how_the_bands_were_decoded_exactly_or_fast(simulate, tmp_path):
    for decode, error in (("exact", 0), ("fast", 362)):
        scene = simulate(40, 50).with_metadata(decode=decode, largest_error=error)
        published = scene.publish(tmp_path / decode, "mask", "stac")
        properties = pystac.Item.from_file(str(published.paths("stac")[0])).properties
        assert properties["flightsw:decode"] == decode
        assert properties["flightsw:largest_error"] == error


def test_item_describes_grid_and_place(publish_item):
    item, scene = publish_item()

    projection = ProjectionExtension.ext(item)
    assert projection.code == "EPSG:32629"
    assert projection.shape == [40, 50]
    assert projection.transform == list(scene.metadata.georeference.transform)
    assert projection.bbox == [499_980, 6_099_620, 500_480, 6_100_020]
    assert GridExtension.ext(item).code == "MGRS-29UNU"
    west, south, east, north = item.bbox
    assert -9.001 < west < -9.0 < east < -8.99
    assert 55.04 < south < north < 55.05
    assert item.geometry["type"] == "Polygon"


def test_processing_names_software_level_and_model(publish_item):
    item, _ = publish_item()

    assert item.properties["processing:software"] == {"flightsw": "1.2.3"}
    assert item.properties["processing:level"] == "L2A"
    assert "dtacsnet-cd-1" in item.properties["processing:lineage"]
    assert any("processing" in schema for schema in item.stac_extensions)


def test_assets_carry_multihash_size_and_media_type(publish_item, tmp_path):
    item, _ = publish_item()

    files = {path.name for path in tmp_path.iterdir()}
    assert {Path(asset.href).name for asset in item.assets.values()} == {
        name for name in files if not name.endswith(("stac.json", "report.json"))
    }
    for asset in item.assets.values():
        content = (tmp_path / asset.href).read_bytes()
        file = FileExtension.ext(asset)
        assert file.checksum == "1220" + hashlib.sha256(content).hexdigest()
        assert file.size == len(content)
    assert item.assets["cloud_mask_tif"].media_type == "image/tiff; application=geotiff"
    cog = "image/tiff; application=geotiff; profile=cloud-optimized"
    assert item.assets["cloud_mask_cog_tif"].media_type == cog
    assert item.assets["visualization_jpg"].roles == ["thumbnail", "overview"]


def test_threshold_and_buffer_are_stated_if_the_mask_is_not_the_plain_answer(simulate, tmp_path):
    scene = simulate(40, 50)
    context = replace(scene.context, threshold_percent=30, buffer_m=100.0)
    changed = replace(scene, context=context)

    plain, given = (
        json.loads(one.publish(tmp_path, "geotiff", "stac").paths("stac")[0].read_text())
        for one in (scene, changed)
    )

    names = ("flightsw:threshold_percent", "flightsw:buffer_m")
    assert [plain["properties"].get(name) for name in names] == [None, None]
    assert [given["properties"].get(name) for name in names] == [30, 100.0]


def test_classes_are_stated_for_mask_and_class_map(publish_item):
    item, _ = publish_item()

    mask, classes = (
        {entry.value: entry.name for entry in ClassificationExtension.ext(item.assets[key]).classes}
        for key in ("cloud_mask_npy", "cloud_classes_tif")
    )
    assert mask == {0: "clear", 1: "contaminated", 255: "no_data"}
    assert classes == {
        0: "clear",
        1: "thick_cloud",
        2: "thin_cloud",
        3: "cloud_shadow",
        255: "no_data",
    }


def test_item_without_georeference_has_null_geometry(publish_item):
    item, _ = publish_item(georeference=None)

    assert item.geometry is None
    assert item.bbox is None
    assert "proj:code" not in item.properties or item.properties["proj:code"] is None
    assert item.properties["proj:shape"] == [40, 50]


def test_tile_that_is_not_an_mgrs_square_has_no_grid_code(publish_item):
    item, _ = publish_item(tile_id="rooftops")

    assert "grid:code" not in item.properties


def test_footprint_is_cut_at_the_antimeridian(publish_item):
    # Zone 1 at 16 degrees south: 180 degrees east lies near easting 179,000 m.
    place = Georeference("EPSG:32701", (1000.0, 0.0, 160_000.0, 0.0, -1000.0, 8_200_000.0))

    item, _ = publish_item(georeference=place)

    assert item.geometry["type"] == "MultiPolygon"
    west, _, east, _ = item.bbox
    assert 179 < west < 180
    assert -180 < east < -179


def test_a_scene_without_a_time_is_refused_before_anything_is_written(simulate, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(
        UsageError, match=r"stac cannot be made because the time of S2A.* is unknown"
    ):
        simulate(40, 50).with_metadata(sensed_at=None).publish(out, "mask", "stac")
    assert not out.exists()


def test_footprint_is_that_of_the_valid_pixels(simulate, tmp_path):
    scene = simulate(40, 50)
    mask = scene.mask.copy()
    mask[:] = 0
    mask[:, :25] = 255

    published = scene.with_mask(mask).publish(tmp_path, "stac")

    item = json.loads(published.paths("stac")[0].read_text())
    west, _, east, _ = item["bbox"]
    grid_west, grid_east = transform_bounds("EPSG:32629", "EPSG:4326", 499_980, 6e6, 500_480, 6e6)[
        ::2
    ]
    assert west > (grid_west + grid_east) / 2 - 0.0001
    assert east > grid_east - 0.0001


def test_item_names_scene_constellation_and_time_of_processing(simulate, tmp_path):
    scene = simulate(40, 50)
    source = tmp_path / "scenes" / "a scene.SAFE"
    changed = replace(scene, context=replace(scene.context, source=source))

    published = changed.publish(tmp_path / "out", "stac")

    item = json.loads(published.paths("stac")[0].read_text())
    assert item["links"] == [
        {
            "rel": "derived_from",
            "href": "../scenes/a%20scene.SAFE",
            "title": scene.metadata.name,
        }
    ]
    properties = item["properties"]
    assert properties["constellation"] == "sentinel-2"
    assert properties["platform"] == "sentinel-2a"
    assert properties["instruments"] == ["msi"]
    assert properties["created"] == "2026-11-29T12:00:00Z"


def test_an_item_from_the_network_is_named_without_its_query(simulate, tmp_path):
    scene = simulate(40, 50)
    address = "https://x.org/items/a?sig=secret"
    changed = replace(scene, context=replace(scene.context, source=address))
    published = changed.publish(tmp_path / "out", "stac")
    [link] = json.loads(published.paths("stac")[0].read_text())["links"]
    assert (link["rel"], link["href"]) == ("derived_from", "https://x.org/items/a")


@pytest.mark.filterwarnings(
    "ignore:``LocalValidator``:DeprecationWarning"
)  # pystac 1: the only offline one
@pytest.mark.parametrize(
    "changes", [{}, {"georeference": None}, {"platform": "", "tile_id": "rooftops"}]
)
def test_item_validates_against_the_schemas_of_stac(simulate, all_products, tmp_path, changes):
    pytest.importorskip("jsonschema", reason="needs the extra dev")
    local_validator = pytest.importorskip("pystac.validation.local_validator")
    published = simulate(40, 50).with_metadata(**changes).publish(tmp_path, *all_products)

    item = json.loads(published.paths("stac")[0].read_text())

    validator = local_validator.LocalValidator().item_validator(item["stac_version"])
    assert [error.message for error in validator.iter_errors(item)] == []
