"""STAC items as scenes: which asset is which band, what the values mean, and what is refused."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flightsw import sentinel_2
from flightsw.errors import (
    BadMetadata,
    BandSizeMismatch,
    CorruptImage,
    MissingBand,
    SceneNotFound,
    UsageError,
)
from flightsw.scene import open_scene
from tests.unit.flightsw.scene.item_writer import (
    COLOURS,
    NUMBERS,
    TIFF,
    Assets,
    by_key,
    earth_search,
    serving,
    write_bands,
    write_item,
)
from tests.unit.flightsw.scene.safe_writer import band_pixels
from tests.unit.flightsw.scene.test_geotiff import BANDS, pixels_of, write_tiff


def stac_1_1(**changes: Any) -> Assets:
    return {
        f"asset_{colour}": {
            "href": f"{band}.tif",
            "type": TIFF,
            "raster:scale": 1e-4,
            "raster:offset": -0.1,
            "nodata": 0,
            "bands": [{"name": f"band of {colour}", "eo:common_name": colour, **changes}],
        }
        for colour, band in zip(COLOURS, BANDS, strict=True)
    }


@pytest.mark.parametrize(
    ("assets", "version"),
    [
        (earth_search(), "1.0.0"),
        (stac_1_1(), "1.1.0"),
        (stac_1_1(**{"raster:offset": -0.1}), "1.1.0"),
        (by_key(), "1.0.0"),
        ({f"b{key[1:]}": asset for key, asset in by_key().items()}, "1.0.0"),
    ],
)
def test_an_item_is_the_scene_that_its_assets_hold(
    tmp_path: Path, assets: Assets, version: str
) -> None:
    write_bands(tmp_path)
    item = write_item(tmp_path, assets, version=version)
    order = ("B08", "B02", "B03", "B04")
    scene = open_scene(item, order)
    known = scene.metadata
    assert (known.name, known.tile_id) == ("S2A_31UFU_20230701_0_L2A", "T31UFU")
    assert (known.level, known.baseline, known.platform) == ("L2A", "05.09", "Sentinel-2A")
    assert known.sensed_at == datetime(2023, 7, 1, 10, 46, 30, 262000, tzinfo=timezone.utc)
    assert (known.offsets, known.quantification) == (dict.fromkeys(order, -1000), 10_000)
    assert not any("sensor" in remark for remark in known.remarks)
    np.testing.assert_array_equal(pixels_of(scene), NUMBERS[[3, 0, 1, 2]])


def test_an_item_names_its_bands_itself(tmp_path: Path) -> None:
    write_bands(tmp_path)
    item = write_item(tmp_path, earth_search())
    with pytest.raises(UsageError, match="not one GeoTIFF"):
        open_scene(item, file_bands=BANDS)


def test_an_offset_that_the_catalogue_applied_is_not_applied_again(tmp_path: Path) -> None:
    write_bands(tmp_path)
    item = write_item(tmp_path, earth_search(), **{"earthsearch:boa_offset_applied": True})
    known = open_scene(item).metadata
    assert known.offsets == dict.fromkeys(BANDS, 0)
    assert any("offset has already been applied" in remark for remark in known.remarks)
    assert open_scene(item, offset=-1000).metadata.offsets["B02"] == -1000


@pytest.mark.parametrize(("baseline", "offset"), [("03.01", 0), ("05.11", -1000)])
def test_without_scale_the_products_baseline_decides(
    tmp_path: Path, baseline: str, offset: int
) -> None:
    write_bands(tmp_path)
    item = write_item(tmp_path, by_key(), **{"s2:processing_baseline": baseline})
    known = open_scene(item).metadata
    assert known.offsets == dict.fromkeys(BANDS, offset)
    assert any(remark.startswith(f"offset {offset} ") for remark in known.remarks)


@pytest.mark.parametrize("baseline", [None, "99.99", "x"])
def test_without_scale_and_a_known_baseline_the_offset_is_unknown(
    tmp_path: Path, baseline: str | None
) -> None:
    write_bands(tmp_path)
    item = write_item(tmp_path, by_key(), **{"s2:processing_baseline": baseline})
    with pytest.raises(BadMetadata, match="DN offset is unknown"):
        open_scene(item)


def test_tags_of_the_files_serve_if_the_item_says_nothing_and_must_not_contradict_it(
    tmp_path: Path,
) -> None:
    write_bands(tmp_path, scale=1e-4, offset=0.0)
    assert open_scene(write_item(tmp_path, by_key())).metadata.offsets == dict.fromkeys(BANDS, 0)
    contradicted = write_item(tmp_path, earth_search(offset=-0.1))
    with pytest.raises(BadMetadata, match=r"offset 0 in its tags, but the item says.*-0\.1"):
        open_scene(contradicted)
    assert open_scene(contradicted, scale=1e-4, offset=0).metadata.offsets["B02"] == 0
    assert open_scene(write_item(tmp_path, earth_search(offset=0.0))).metadata.offsets["B02"] == 0


def test_landsat_and_its_near_infrared(tmp_path: Path) -> None:
    write_bands(tmp_path, size=30)
    assets = earth_search(offset=-0.2, **{"raster:bands": [{"scale": 2.75e-5, "offset": -0.2}]})
    del assets["nir"], assets["nir-jp2"]
    assets["nir08"] |= {"href": "B08.tif", "raster:bands": [{"scale": 2.75e-5, "offset": -0.2}]}
    names = {"platform": "landsat-8", "s2:product_type": None, "grid:code": None}
    scene = open_scene(write_item(tmp_path, assets, **names))
    assert scene.metadata.platform == "landsat-8"
    assert (scene.metadata.level, scene.metadata.ground_sample_distance) == ("", 30)
    assert scene.metadata.offsets["B08"] == pytest.approx(-0.2 / 2.75e-5)
    assert "asset nir08 (nir08) stands in for band B08" in scene.metadata.remarks
    np.testing.assert_array_equal(pixels_of(scene), NUMBERS)


@pytest.mark.parametrize("mark", [-9999, "-9999"])
def test_the_items_no_data_is_no_data(tmp_path: Path, mark: float | str) -> None:
    values = NUMBERS.astype(np.int16)
    values[:, 3, 4] = -9999
    write_bands(tmp_path, values)
    said = {"raster:bands": [{"scale": 1e-4, "offset": 0, "nodata": mark}]}
    pixels = pixels_of(open_scene(write_item(tmp_path, earth_search(**said))))
    assert (pixels[:, 3, 4] == 0).all()
    assert np.count_nonzero(pixels == 0) == 4


def test_one_asset_may_hold_all_bands(tmp_path: Path) -> None:
    write_tiff(tmp_path / "all.tif", NUMBERS[::-1], names=("",) * 4, scale=None, size=3)
    bands = [{"name": colour, "common_name": colour} for colour in reversed(COLOURS)]
    asset = {"href": "all.tif", "type": TIFF, "eo:bands": bands}
    asset["raster:bands"] = [{"scale": 1e-4, "offset": 0.0}] * 4
    scene = open_scene(write_item(tmp_path, {"analytic_sr": asset}, platform="dove"))
    np.testing.assert_array_equal(pixels_of(scene), NUMBERS)
    asset["eo:bands"] = [{"name": "coastal"}, *bands]
    with pytest.raises(BadMetadata, match="has 4 bands, but the item describes 5"):
        open_scene(write_item(tmp_path, {"analytic_sr": asset}))


def test_an_item_over_the_network(tmp_path: Path) -> None:
    write_bands(tmp_path)
    write_item(tmp_path, earth_search())
    with serving(tmp_path) as address:
        scene = open_scene(f"{address}/item.json?token=secret")
        np.testing.assert_array_equal(pixels_of(scene), NUMBERS)
        with pytest.raises(SceneNotFound, match="HTTP 404") as caught:
            open_scene(f"{address}/absent?token=secret")
        assert "secret" not in str(caught.value)
        write_item(tmp_path, by_key("{}.tif?token=secret"), "unfinished.json")
        (tmp_path / "B08.tif").rename(tmp_path / "B08.moved.tif")
        with pytest.raises(CorruptImage, match=r"B08\.tif is not a readable GeoTIFF") as failed:
            open_scene(f"{address}/unfinished.json")
        assert "secret" not in str(failed.value)


def test_a_geotiff_over_the_network(tmp_path: Path) -> None:
    write_tiff(tmp_path / "S2A_T31UFU_20230701T104630.tif", NUMBERS)
    with serving(tmp_path) as address:
        scene = open_scene(f"{address}/S2A_T31UFU_20230701T104630.tif?token=secret")
        np.testing.assert_array_equal(pixels_of(scene), NUMBERS)
    assert (scene.metadata.tile_id, scene.metadata.name) == (
        "T31UFU",
        "S2A_T31UFU_20230701T104630",
    )


def test_an_item_by_the_address_of_its_file(tmp_path: Path) -> None:
    write_bands(tmp_path)
    item = write_item(tmp_path, by_key((tmp_path / "{}.tif").as_uri().replace("%7B%7D", "{}")))
    np.testing.assert_array_equal(pixels_of(open_scene(item.as_uri())), NUMBERS)


def test_a_missing_asset_is_named_with_those_that_exist(tmp_path: Path) -> None:
    assets = {key: one for key, one in earth_search().items() if key in ("blue", "green", "red")}
    with pytest.raises(MissingBand, match=r"lacks an asset for band B08.*are blue, green, red"):
        open_scene(write_item(tmp_path, assets))
    with pytest.raises(MissingBand, match="its assets are none"):
        open_scene(write_item(tmp_path, {}))
    jp2 = {key: one for key, one in earth_search().items() if key.endswith("jp2")}
    with pytest.raises(MissingBand, match=r"band B02 only as image/jp2 \(blue-jp2\)"):
        open_scene(write_item(tmp_path, jp2))


def test_of_two_assets_the_finer_is_taken_and_equal_ones_are_refused(tmp_path: Path) -> None:
    write_bands(tmp_path)
    assets = earth_search()
    other = {**assets["nir"], "href": "B8A.tif"}
    coarse = write_item(tmp_path, {"nir_20m": {**other, "gsd": 20}, **assets})
    np.testing.assert_array_equal(pixels_of(open_scene(coarse)), NUMBERS)
    with pytest.raises(BadMetadata, match="two assets for band B08: nir_again and nir"):
        open_scene(write_item(tmp_path, {"nir_again": other, **assets}))


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ({"type": "Collection", "stac_version": "1.0.0", "id": "c"}, "is a Collection, not"),
        ({"type": "Catalog", "stac_version": "1.0.0", "id": "c"}, "is a Catalog, not"),
        ({"type": "FeatureCollection", "features": []}, "is a FeatureCollection, not"),
        ({"type": "Feature", "properties": {}}, "is not a STAC item"),
        ({"type": "Feature", "stac_version": "1.0.0", "id": "c"}, "valid STAC item .*assets"),
        ({"name": "report"}, "is not a STAC item"),
        ([], "is not a valid STAC item"),
    ],
)
def test_another_document_is_not_an_item(tmp_path: Path, content: Any, cause: str) -> None:
    path = tmp_path / "item.json"
    path.write_text(json.dumps(content))
    with pytest.raises(BadMetadata, match=cause):
        open_scene(path)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a": ' + b"[" * 100_000]
)
def test_a_document_that_is_not_json_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "item.json"
    path.write_bytes(content)
    with pytest.raises(BadMetadata, match="not a valid STAC item"):
        open_scene(path)


def test_a_document_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "item.json"
    with path.open("wb") as file:
        file.truncate((4 << 20) + 1)
    with pytest.raises(SceneNotFound, match="larger than 4194304 bytes"):
        open_scene(path)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"href": "ftp://x/a.tif"}, "asset nir at ftp://x/a.tif, which is not a path"),
        ({"raster:bands": [{"nodata": "none"}]}, "marks no data as 'none'"),
        ({"raster:bands": [{"scale": "x"}]}, "Expected `float"),
        ({"href": 5}, "Expected `str`, got `int`"),
    ],
)
def test_an_asset_that_cannot_be_is_refused(
    tmp_path: Path, changes: dict[str, Any], cause: str
) -> None:
    write_bands(tmp_path)
    assets = earth_search()
    assets["nir"] |= changes
    with pytest.raises(BadMetadata, match=cause):
        open_scene(write_item(tmp_path, assets))


@pytest.mark.parametrize(
    ("pixels", "settings", "error", "cause"),
    [
        (NUMBERS[3:, 1:], {}, BandSizeMismatch, "red is 60 x 70, nir is 60 x 69"),
        (
            NUMBERS[3:],
            {"crs": "EPSG:32630"},
            BadMetadata,
            "grid of blue: it is in EPSG:32630, not EPSG:32629",
        ),
        (NUMBERS[3:], {"size": 20}, BadMetadata, "its pixels are 20 x -20, not 10 x -10"),
    ],
)
def test_bands_on_different_grids_are_refused(
    tmp_path: Path, pixels: Any, settings: dict[str, Any], error: type[Exception], cause: str
) -> None:
    write_bands(tmp_path)
    write_tiff(tmp_path / "B08.tif", pixels, names=("",), scale=None, **settings)
    with pytest.raises(error, match=cause):
        open_scene(write_item(tmp_path, earth_search()))


def test_an_item_leads_to_no_file_outside_the_folder_of_scenes(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    write_bands(tmp_path)
    write_bands(root)
    inside = open_scene(write_item(root, by_key()), within=root)
    np.testing.assert_array_equal(pixels_of(inside), NUMBERS)
    (root / "link.tif").symlink_to(tmp_path / "B02.tif")
    for form in ("../{}.tif", str(tmp_path / "{}.tif"), "link.tif"):
        with pytest.raises(BadMetadata, match="leads out of the folder of scenes"):
            open_scene(write_item(root, by_key(form)), within=root)
    with pytest.raises(BadMetadata, match="is on the network"):
        open_scene(write_item(root, by_key("https://x.org/{}.tif")), within=root)
    with pytest.raises(SceneNotFound, match="is on the network"):
        open_scene("https://x.org/item.json", within=root)


REST = {"rededge1": "B05", "nir08": "B8A", "swir16": "B11", "swir22": "B12", "coastal": "B01"}
COMMON = {"rededge1": "rededge"}
"""Earth Search gives three bands one common name."""


def test_an_item_with_bands_of_several_distances_comes_on_the_finest_grid(tmp_path: Path) -> None:
    write_bands(tmp_path)
    assets = earth_search(-0.1)
    expected = [NUMBERS[3], NUMBERS[0]]
    for key, band in REST.items():
        metres = sentinel_2.NATIVE_DISTANCES[band]
        pixels = band_pixels(band, -(-700 // metres), -(-600 // metres))
        write_tiff(tmp_path / f"{band}.tif", pixels[None], names=("",), scale=None, size=metres)
        assets[key] = {
            "href": f"./{band}.tif",
            "type": TIFF,
            "gsd": metres,
            "eo:bands": [{"name": key, "common_name": COMMON.get(key, key)}],
            "raster:bands": [{"scale": 1e-4, "offset": -0.1, "nodata": 0}],
        }
        times = metres // 10
        expected.append(pixels.repeat(times, 0).repeat(times, 1)[:70, :60])
    scene = open_scene(write_item(tmp_path, assets), ("B08", "B02", *REST.values()))
    assert scene.metadata.ground_sample_distance == 10
    assert not any("stands in" in remark for remark in scene.metadata.remarks)
    np.testing.assert_array_equal(pixels_of(scene), expected)
    coarse = pixels_of(open_scene(tmp_path / "item.json", ("B02", "B11"), 20))
    np.testing.assert_array_equal(coarse[1], band_pixels("B11", 35, 30))
