"""Finding a SAFE product's files, its distances, and what is wrong with it."""

from __future__ import annotations

import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flightsw import sentinel_2
from flightsw.config import SceneSettings
from flightsw.errors import (
    BadMetadata,
    BandSizeMismatch,
    CorruptImage,
    MissingBand,
    SceneError,
    SceneNotFound,
    UsageError,
)
from flightsw.pipeline.grid_spans import no_data_pixels
from flightsw.scene import open_scene
from flightsw.scene.scene import Georeference, Scene
from tests.unit.flightsw.scene.safe_writer import (
    ALL_AT,
    BANDS,
    GRANULE,
    NAME,
    SafeProduct,
    as_measured,
    band_file,
    band_pixels,
    write_jp2,
)


def pixels_of(scene: Scene) -> np.ndarray:
    with scene.strips(2) as strips:
        return np.concatenate([strip.digital_numbers for strip in strips], axis=1)


def test_real_60_m_product_is_read_with_b8a_for_b08(shared_data: Path) -> None:
    (root,) = (shared_data / "safe").glob("*.SAFE")
    scene = open_scene(root)
    known = scene.metadata
    assert (known.name, known.tile_id, known.level, known.baseline) == (
        "S2A_MSIL2A_20221005T115411_N0400_R023_T29UNU_20221005T164454",
        "T29UNU",
        "L2A",
        "04.00",
    )
    assert (known.height, known.width, known.ground_sample_distance) == (1830, 1830, 60)
    assert known.substituted == {"B08": "B8A"}
    assert known.offsets == dict.fromkeys(BANDS, -1000)
    assert known.georeference == Georeference(
        "EPSG:32629", (60.0, 0.0, 499980.0, 0.0, -60.0, 5900040.0)
    )
    assert known.sensed_at == datetime(2022, 10, 5, 11, 56, 49, 581767, tzinfo=timezone.utc)
    assert known.platform == "Sentinel-2A"
    remarks = " / ".join(known.remarks)
    assert "60 m" in remarks
    assert "B8A stands in for band B08" in remarks
    with np.load(shared_data / "tiles" / "t29unu_n0400_60m.npz") as expected:
        np.testing.assert_array_equal(pixels_of(scene), np.squeeze(expected["bands"]))


@pytest.mark.parametrize("algorithm", ["SHA3-256", "MD5"])
def test_metadata_of_a_whole_product(tmp_path: Path, algorithm: str) -> None:
    known = open_scene(SafeProduct(checksum=algorithm).write(tmp_path)).metadata
    assert known.name == NAME
    assert known.remarks == ()
    assert known.georeference == Georeference(
        "EPSG:32629", (10.0, 0.0, 499980.0, 0.0, -10.0, 5900040.0)
    )


def test_georeference_follows_the_processed_distance(tmp_path: Path) -> None:
    known = open_scene(SafeProduct().write(tmp_path), ground_sample_distance=40).metadata
    assert known.georeference is not None
    assert known.georeference.transform == (40.0, 0.0, 499980.0, 0.0, -40.0, 5900040.0)
    assert (known.height, known.width) == (40, 51)


def test_the_folder_around_a_product_will_do(tmp_path: Path) -> None:
    SafeProduct().write(tmp_path)
    assert open_scene(tmp_path).metadata.name == NAME


def test_l1c_has_its_bands_in_one_folder(tmp_path: Path) -> None:
    known = open_scene(SafeProduct(level="L1C").write(tmp_path)).metadata
    assert (known.level, known.ground_sample_distance) == ("L1C", 10)
    assert known.offsets == dict.fromkeys(BANDS, -1000)


def test_a_bare_image_folder_takes_its_offset_from_the_tile_id(tmp_path: Path) -> None:
    root = SafeProduct(product_xml=False, checksum=None).write(tmp_path, "Image_Land")
    known = open_scene(root).metadata
    assert (known.name, known.tile_id, known.level) == ("Image_Land", "T29UNU", "L2A")
    assert known.baseline == "04.00"  # not 02.07 of the L1C tile that it was made from
    assert known.offsets == dict.fromkeys(BANDS, -1000)
    assert any("offset -1000 follows from baseline 04.00" in remark for remark in known.remarks)


def test_an_old_bare_image_folder_has_no_offset(tmp_path: Path) -> None:
    product = SafeProduct(product_xml=False, checksum=None, baseline="02.14")
    assert set(open_scene(product.write(tmp_path, "Image_Land")).metadata.offsets.values()) == {0}


def test_a_bare_image_folder_without_any_metadata_needs_an_offset(tmp_path: Path) -> None:
    product = SafeProduct(product_xml=False, tile_xml=False, checksum=None)
    root = product.write(tmp_path, "Image_Land")
    with pytest.raises(BadMetadata, match="give its offset: -1000"):
        open_scene(root)
    known = open_scene(root, offset=-1000).metadata
    assert known.offsets == dict.fromkeys(BANDS, -1000)
    assert known.georeference is None
    assert any("no georeference" in remark for remark in known.remarks)


def test_coarser_bands_are_used_if_finer_ones_are_missing(tmp_path: Path) -> None:
    bands = ("B02", "B03", "B04", "B8A")
    root = SafeProduct(at={20: bands, 60: bands}).write(tmp_path)
    scene = open_scene(root, ("B08", "B02"))
    assert scene.metadata.ground_sample_distance == 20
    assert scene.metadata.substituted == {"B08": "B8A"}
    assert scene.metadata.georeference is not None
    assert scene.metadata.georeference.transform[0] == 20.0
    assert any("not 10 m" in remark for remark in scene.metadata.remarks)
    expected = np.stack([band_pixels("B8A", 157, 203), band_pixels("B02", 157, 203)])
    np.testing.assert_array_equal(pixels_of(scene), expected)


def test_bands_of_20_m_are_halved_when_40_m_are_asked_for(tmp_path: Path) -> None:
    root = SafeProduct(at={20: ("B02", "B03", "B04", "B8A")}).write(tmp_path)
    known = open_scene(root, ground_sample_distance=40).metadata
    assert (known.ground_sample_distance, known.height, known.width) == (40, 79, 102)


def test_complete_20_m_bands_serve_20_m_when_the_10_m_ones_are_incomplete(tmp_path: Path) -> None:
    root = SafeProduct(at={10: ("B02",), 20: ("B02", "B03", "B04", "B8A")}).write(tmp_path)
    assert open_scene(root, ground_sample_distance=20).metadata.substituted == {"B08": "B8A"}
    with pytest.raises(MissingBand, match="B03"):
        open_scene(root)


def test_reduced_10_m_bands_serve_20_m_when_they_are_complete(tmp_path: Path) -> None:
    bands = ("B02", "B03", "B04", "B8A")
    root = SafeProduct(at={10: BANDS, 20: bands}).write(tmp_path)
    assert open_scene(root, ground_sample_distance=20).metadata.height == 79


def test_a_missing_band_is_named_with_its_folder(tmp_path: Path) -> None:
    root = SafeProduct().write(tmp_path)
    path = band_file(root, "B04")
    path.unlink()
    with pytest.raises(MissingBand, match="R10m lacks band B04") as caught:
        open_scene(root)
    assert caught.value.fields["band"] == "B04"


def test_no_band_at_all_is_a_missing_band(tmp_path: Path) -> None:
    root = SafeProduct().write(tmp_path)
    for band in BANDS:
        band_file(root, band).unlink()
    with pytest.raises(MissingBand, match="B02, B03, B04, B08"):
        open_scene(root)


def test_two_files_for_one_band_are_both_named(tmp_path: Path) -> None:
    root = SafeProduct().write(tmp_path)
    shutil.copy(band_file(root, "B03"), band_file(root, "B03").with_name("copy_B03_10m.jp2"))
    with pytest.raises(BadMetadata, match=r"T29UNU_20221005T115411_B03_10m.jp2 and copy_B03"):
        open_scene(root)


def test_hidden_files_are_not_bands(tmp_path: Path) -> None:
    root = SafeProduct().write(tmp_path)
    path = band_file(root, "B03")
    path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    assert open_scene(root).metadata.name == NAME


def test_bands_of_different_size_are_named_with_their_sizes(tmp_path: Path) -> None:
    root = SafeProduct(checksum=None).write(tmp_path)
    write_jp2(band_file(root, "B08"), band_pixels("B08", 157, 204))
    with pytest.raises(BandSizeMismatch, match=r"B08_10m.jp2 is 204 x 157") as caught:
        open_scene(root)
    assert "B02_10m.jp2 is 203 x 157" in str(caught.value)


def test_an_image_of_another_size_than_stated_is_a_remark(tmp_path: Path) -> None:
    root = SafeProduct(checksum=None).write(tmp_path)
    for band in BANDS:
        write_jp2(band_file(root, band), band_pixels(band, 100, 90))
    assert any("MTD_TL.xml says 203 x 157" in one for one in open_scene(root).metadata.remarks)


def test_too_few_resolutions_are_reported(tmp_path: Path) -> None:
    root = SafeProduct(checksum=None).write(tmp_path)
    write_jp2(band_file(root, "B02"), band_pixels("B02", 157, 203), levels=0)
    with pytest.raises(SceneError, match="reduced resolutions"):
        open_scene(root, ground_sample_distance=40)


@pytest.mark.parametrize("name", ["nothing", "no\0name", "surrogate\udc80"])
def test_a_path_that_is_not_there_is_not_found(tmp_path: Path, name: str) -> None:
    with pytest.raises(SceneNotFound):
        open_scene(tmp_path / name)


def test_what_is_not_a_product_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(SceneNotFound, match="is not a known kind of product"):
            open_scene(path)


def test_several_products_or_granules_are_not_guessed_at(tmp_path: Path) -> None:
    root = SafeProduct().write(tmp_path)
    shutil.copytree(root, tmp_path / "other.SAFE")
    with pytest.raises(SceneNotFound, match=r"other.SAFE"):
        open_scene(tmp_path)
    shutil.copytree(root / "GRANULE" / GRANULE, root / "GRANULE" / "second")
    with pytest.raises(SceneNotFound, match="second"):
        open_scene(root)


def test_an_empty_safe_folder_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "X.SAFE").mkdir()
    with pytest.raises(SceneNotFound):
        open_scene(tmp_path)
    with pytest.raises(SceneNotFound):
        open_scene(tmp_path / "X.SAFE")


@pytest.mark.parametrize("distance", [0, 15, 60, -10])
def test_other_distances_are_refused(tmp_path: Path, distance: int) -> None:
    with pytest.raises(UsageError, match="10, 20 or 40"):
        open_scene(tmp_path, ground_sample_distance=distance)


@pytest.mark.parametrize("bands", [(), ("B02", "B02"), ("B99",), ("../B02",)])
def test_bands_that_are_none_are_refused(tmp_path: Path, bands: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="bands"):
        open_scene(tmp_path, bands)


@pytest.mark.parametrize("offset", [1, -10_001])
def test_an_implausible_offset_is_refused(tmp_path: Path, offset: int) -> None:
    with pytest.raises(UsageError, match="offset"):
        open_scene(tmp_path, offset=offset)


def test_sample_formats_other_than_uint16_are_corrupt(tmp_path: Path) -> None:
    root = SafeProduct(checksum=None).write(tmp_path)
    write_jp2(band_file(root, "B02"), np.full((157, 203), 7, np.uint8))
    with pytest.raises(CorruptImage, match="8 bits"):
        open_scene(root)
    write_jp2(band_file(root, "B02"), np.full((157, 203, 3), 7, np.uint8))
    with pytest.raises(CorruptImage, match="3 components"):
        open_scene(root)


@pytest.mark.parametrize("level", ["L2A", "L1C"])
def test_a_tile_as_aws_has_it(tmp_path: Path, level: str) -> None:
    product = SafeProduct(level=level).write(tmp_path)
    folder = tmp_path / "tiles" / "29" / "U" / "NU" / "2022" / "10" / "5" / "0"
    images = folder / "R10m" if level == "L2A" else folder
    images.mkdir(parents=True)
    for band in BANDS:
        (source,) = product.rglob(f"*_{band}*.jp2")
        source.rename(images / f"{band}.jp2")
    next(product.rglob("MTD_TL.xml")).rename(folder / "metadata.xml")
    scene = open_scene(folder)
    known = scene.metadata
    assert known.name == f"S2A_OPER_MSI_{level}_TL_ATOS_20221005T164454_A038058_T29UNU_N04.00"
    assert (known.tile_id, known.level, known.baseline) == ("T29UNU", level, "04.00")
    assert known.offsets == dict.fromkeys(BANDS, -1000)
    assert known.sensed_at is not None
    assert known.georeference is not None
    expected = [band_pixels(band, 157, 203) for band in BANDS]
    with scene.strips(1) as strips:
        found = np.concatenate([strip.digital_numbers for strip in strips], axis=1)
    np.testing.assert_array_equal(found, np.stack(expected))
    (folder / "metadata.xml").unlink()
    with pytest.raises(BadMetadata, match=r"on AWS: metadata.xml"):
        open_scene(folder)


def _product_of_2016(parent: Path) -> Path:
    """Two tiles, with the names of products before December 2016."""
    form = SafeProduct(level="L1C", baseline="02.02", offsets=None, checksum=None)
    made = form.write(parent / "new")
    root = parent / "S2A_OPER_PRD_MSIL1C_PDMC_20160608T202334_R025_V20160608T153121.SAFE"
    for tile in ("T29UNU", "T29UNV"):
        base = "L1C_TL_EPA__20160608T202334_A005021"
        granule = root / "GRANULE" / f"S2A_OPER_MSI_{base}_{tile}_N02.02"
        (granule / "IMG_DATA").mkdir(parents=True)
        for band in BANDS:
            (source,) = made.rglob(f"*_{band}.jp2")
            place = granule / "IMG_DATA" / f"S2A_OPER_MSI_{base}_{tile}_{band}.jp2"
            place.write_bytes(source.read_bytes())
        text = form.tile_text().replace("T29UNU", tile)
        (granule / f"S2A_OPER_MTD_{base}_{tile}.xml").write_text(text)
    (root / "S2A_OPER_MTD_SAFL1C_PDMC_20160608T202334.xml").write_text(form.product_text())
    return root


def test_a_tile_of_a_product_before_december_2016_is_chosen_by_name(tmp_path: Path) -> None:
    root = _product_of_2016(tmp_path)
    with pytest.raises(SceneNotFound, match=r"contains 2 tiles: T29UNU, T29UNV\. Name one"):
        open_scene(root)
    with pytest.raises(SceneNotFound, match=r"lacks the tile T01ABC; it contains 2 tiles"):
        open_scene(root, tile="T01ABC")
    for name in ("T29UNV", "29unv"):
        known = open_scene(root, tile=name).metadata
        assert (known.tile_id, known.level, known.baseline) == ("T29UNV", "L1C", "02.02")
        assert known.offsets == dict.fromkeys(BANDS, 0)
        assert known.georeference is not None
        assert known.sensed_at is not None


def test_a_tile_that_the_product_does_not_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneNotFound, match=r"lacks the tile T32TQM; it contains 1 tile: T29UNU"):
        open_scene(SafeProduct().write(tmp_path), tile="T32TQM")


@pytest.mark.parametrize(
    ("given", "name"),
    [({"scale": 1e-4}, "scale"), ({"nodata": 0.0}, "nodata"), ({"file_bands": ("B02",)}, "bands")],
)
def test_a_product_that_explains_its_values_takes_no_other_explanation(
    tmp_path: Path, given: dict[str, Any], name: str
) -> None:
    root = SafeProduct().write(tmp_path)
    with pytest.raises(UsageError, match=f"Omit {name}"):
        open_scene(root, **given)


def test_an_assumed_offset_that_belongs_to_a_scale_is_not_one_of_a_product(tmp_path: Path) -> None:
    root = SafeProduct(product_xml=False, tile_xml=False, checksum=None).write(tmp_path)
    with pytest.raises(BadMetadata, match="DN offset is unknown"):
        open_scene(root, assumed=SceneSettings(offset=-0.2, scale=2.75e-5))
    assert open_scene(root, assumed=SceneSettings(offset=-1000)).metadata.offsets["B02"] == -1000


ALL_BANDS = tuple(sorted(sentinel_2.BANDS, reverse=True))


def write_all_bands(folder: Path, **changes: Any) -> Path:
    product = SafeProduct(ALL_AT, level="L1C", **changes)
    return product.write(folder, pixels=as_measured)


def repeated(pixels: np.ndarray, times: int) -> np.ndarray:
    return pixels.repeat(times, axis=0).repeat(times, axis=1)[:157, :203]


@pytest.mark.parametrize("panels", [False, True])
def test_all_bands_of_a_level_1c_product_come_on_the_finest_grid(
    tmp_path: Path, panels: bool
) -> None:
    scene = open_scene(write_all_bands(tmp_path), bands=ALL_BANDS, panels=panels)
    assert (scene.metadata.height, scene.metadata.width) == (157, 203)
    assert (scene.metadata.bands, scene.metadata.remarks) == (ALL_BANDS, ())
    assert scene.metadata.integrity == "verified"
    for band, found in zip(ALL_BANDS, pixels_of(scene), strict=True):
        times = sentinel_2.NATIVE_DISTANCES[band] // 10
        np.testing.assert_array_equal(found, repeated(as_measured(band), times))


def test_at_20_m_a_band_of_20_m_is_not_resampled_and_one_of_60_m_is_repeated(
    tmp_path: Path,
) -> None:
    found = pixels_of(open_scene(write_all_bands(tmp_path), ("B02", "B11", "B01"), 20))
    np.testing.assert_array_equal(found[1], as_measured("B11"))
    np.testing.assert_array_equal(
        found[2], as_measured("B01").repeat(3, axis=0).repeat(3, axis=1)[:79, :102]
    )


def test_bands_that_are_all_coarse_have_their_own_grid(tmp_path: Path) -> None:
    scene = open_scene(write_all_bands(tmp_path), ("B12", "B10"))
    known = scene.metadata
    assert (known.height, known.width, known.ground_sample_distance) == (79, 102, 20)
    assert known.georeference is not None
    assert known.georeference.transform[0] == 20
    assert known.remarks[0] == "the scene is processed at 20 m, not 10 m"
    np.testing.assert_array_equal(pixels_of(scene)[0], as_measured("B12"))


def test_each_band_has_its_own_offset(tmp_path: Path) -> None:
    offsets = {str(number): str(-1000 - number) for number in range(13)}
    known = open_scene(write_all_bands(tmp_path, offsets=offsets), ALL_BANDS).metadata
    assert known.offsets == {band: -1000 - number for number, band in enumerate(sentinel_2.BANDS)}


def test_a_level_2a_product_says_that_it_has_no_b10(tmp_path: Path) -> None:
    at = {10: BANDS, 20: ALL_AT[20], 60: ("B01", "B09")}
    root = SafeProduct(at).write(tmp_path, pixels=as_measured)
    with pytest.raises(
        MissingBand, match="lacks band B10, which Level-2A products do not"
    ) as caught:
        open_scene(root, ALL_BANDS)
    assert caught.value.fields["band"] == "B10"
    assert "Level-1C" in str(caught.value)
    without = tuple(band for band in ALL_BANDS if band != "B10")
    found = pixels_of(open_scene(root, without))
    np.testing.assert_array_equal(found[-1], repeated(as_measured("B01"), 6))


def test_a_band_comes_from_the_folder_of_its_own_distance(tmp_path: Path) -> None:
    root = SafeProduct(ALL_AT, checksum=None).write(tmp_path, pixels=as_measured)
    for band in ("B02", "B05"):
        path = band_file(root, "B01", 60).with_name(f"copy_{band}_60m.jp2")
        write_jp2(path, as_measured(band, 60) + 5)
    found = pixels_of(open_scene(root, ("B02", "B05")))
    np.testing.assert_array_equal(found[0], as_measured("B02"))
    np.testing.assert_array_equal(found[1], repeated(as_measured("B05"), 2))


def test_a_coarser_copy_stands_in_for_a_missing_band_and_is_remarked_on(tmp_path: Path) -> None:
    at = {10: BANDS, 60: ("B01", "B05")}
    root = SafeProduct(at).write(
        tmp_path, pixels=lambda band: as_measured(band, 60 if band in ("B01", "B05") else 10)
    )
    scene = open_scene(root, ("B02", "B05"))
    assert "band B05 at 60 m is used: that at 20 m is missing" in scene.metadata.remarks
    np.testing.assert_array_equal(pixels_of(scene)[1], repeated(as_measured("B05", 60), 6))


@pytest.mark.parametrize("missing", ["B05", "B09"])
def test_a_missing_coarser_band_is_named(tmp_path: Path, missing: str) -> None:
    root = write_all_bands(tmp_path, checksum=None)
    next(root.rglob(f"*_{missing}.jp2")).unlink()
    with pytest.raises(MissingBand, match=f"lacks band {missing}"):
        open_scene(root, ALL_BANDS)


def test_bands_that_cover_different_areas_are_refused(tmp_path: Path) -> None:
    root = write_all_bands(tmp_path, checksum=None)
    write_jp2(next(root.rglob("*_B11.jp2")), band_pixels("B11", 80, 102))
    with pytest.raises(BandSizeMismatch, match=r"B11\.jp2 is 102 x 80"):
        open_scene(root, ALL_BANDS)
    with pytest.raises(BandSizeMismatch, match=r"102 x 80 pixels of 20 m, but 203 x 157"):
        open_scene(root, ("B02", "B11"))


def test_no_data_of_a_coarse_band_is_no_data_of_all_its_pixels(tmp_path: Path) -> None:
    def with_a_hole(band: str) -> np.ndarray:
        pixels = as_measured(band)
        pixels[2, 3] = 0 if band == "B09" else pixels[2, 3]
        return pixels

    product = SafeProduct(ALL_AT, level="L1C")
    scene = open_scene(product.write(tmp_path, pixels=with_a_hole), ALL_BANDS)
    missing = no_data_pixels(pixels_of(scene), zero_is_measured=scene.metadata.zero_is_measured)
    assert missing is not None
    assert sorted({*np.argwhere(missing)[:, 0].tolist()}) == list(range(12, 18))
    assert missing.sum() == 36
