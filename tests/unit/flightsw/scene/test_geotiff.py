"""GeoTIFF and COG as scenes."""

from __future__ import annotations

import os
import warnings
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.windows import Window

from flightsw.config import SceneSettings
from flightsw.errors import (
    BadMetadata,
    BandSizeMismatch,
    CorruptImage,
    MissingBand,
    UsageError,
)
from flightsw.scene import open_scene
from flightsw.scene.scene import Georeference, Scene
from tests.unit.flightsw.scene.safe_writer import BANDS, band_pixels
from tests.unit.flightsw.scene.test_strips import panels_of, together

HEIGHT, WIDTH = 1301, 150
GRID = rasterio.Affine(10, 0, 499980, 0, -10, 5900040)
PIXELS = np.stack([band_pixels(band, HEIGHT, WIDTH) for band in BANDS])


def write_tiff(
    path: Path,
    pixels: NDArray[Any] = PIXELS,
    *,
    names: tuple[str, ...] = BANDS,
    scale: float | None = 0.0001,
    offset: float = -0.1,
    size: float = 10,
    overviews: tuple[int, ...] = (),
    crs: str | None = "EPSG:32629",
    **profile: Any,
) -> Path:
    layout = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    count, height, width = pixels.shape
    grid = rasterio.Affine(size, 0, 499980, 0, -size, 5900040)
    settings = {**layout, "dtype": pixels.dtype, "transform": grid, "crs": crs, **profile}
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, **settings
    ) as file:
        file.write(pixels)
        file.descriptions = names
        if scale:
            file.scales = (scale,) * count
            file.offsets = (offset,) * count
        if overviews:
            file.build_overviews(overviews, Resampling.average)
    return path


def pixels_of(scene: Scene) -> NDArray[np.uint16]:
    with scene.strips(2) as strips:
        found = list(strips)
    assert found[-1].top + found[-1].digital_numbers.shape[1] == scene.metadata.height
    return np.concatenate([strip.digital_numbers for strip in found], axis=1)


@pytest.mark.parametrize(
    "names", [BANDS, ("blue", "green", "red", "nir"), ("B2", "b03", "B4", "B8")]
)
@pytest.mark.parametrize("order", [BANDS, ("B08", "B04", "B03", "B02")])
def test_one_file_with_all_bands(
    tmp_path: Path, names: tuple[str, ...], order: tuple[str, ...]
) -> None:
    path = write_tiff(tmp_path / "S2A_T29UNU_20221005T115411.tif", names=names)
    scene = open_scene(path, order)
    known = scene.metadata
    assert known.offsets == dict.fromkeys(order, -1000)
    assert known.quantification == 10_000
    assert (known.level, known.tile_id, known.ground_sample_distance) == ("", "T29UNU", 10)
    assert known.sensed_at == datetime(2022, 10, 5, 11, 54, 11, tzinfo=timezone.utc)
    assert known.georeference == Georeference(
        "EPSG:32629", (10.0, 0.0, 499980.0, 0.0, -10.0, 5900040.0)
    )
    expected = PIXELS[[BANDS.index(band) for band in order]]
    np.testing.assert_array_equal(pixels_of(scene), expected)


@pytest.mark.parametrize(
    "form",
    ["{}.tif", "T29UNU_20221005T115411_{}_10m.TIF", "HLS.S30.T29UNU.2022278T115411.v2.0.{}.tif"],
)
def test_a_folder_with_one_file_a_band(tmp_path: Path, form: str) -> None:
    for band, pixels in zip(BANDS, PIXELS, strict=True):
        write_tiff(tmp_path / form.format(band), pixels[None], names=("",), offset=0)
    scene = open_scene(tmp_path)
    assert scene.metadata.offsets == dict.fromkeys(BANDS, 0)
    np.testing.assert_array_equal(pixels_of(scene), PIXELS)
    with pytest.raises(UsageError, match="not one GeoTIFF"):
        open_scene(tmp_path, file_bands=BANDS)


@pytest.mark.parametrize(("distance", "step"), [(20, 2), (40, 4)])
def test_coarser_without_overviews_takes_every_nth_pixel(
    tmp_path: Path, distance: int, step: int
) -> None:
    scene = open_scene(write_tiff(tmp_path / "a.tif"), ground_sample_distance=distance)
    np.testing.assert_array_equal(pixels_of(scene), PIXELS[:, ::step, ::step])
    assert any("one row and column in" in remark for remark in scene.metadata.remarks)
    assert scene.metadata.georeference is not None
    assert scene.metadata.georeference.transform[0] == distance


def test_coarser_takes_the_files_own_overview(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", overviews=(2, 4))
    scene = open_scene(path, ground_sample_distance=40)
    with rasterio.open(path, overview_level=1) as file:
        np.testing.assert_array_equal(pixels_of(scene), file.read())
    assert any("overview" in remark for remark in scene.metadata.remarks)


@pytest.mark.parametrize("overviews", [(), (2, 4)])
@pytest.mark.parametrize("distance", [10, 20, 40])
def test_a_file_in_panels_has_the_same_pixels(
    tmp_path: Path, distance: int, overviews: tuple[int, ...]
) -> None:
    wide = np.random.default_rng(5).integers(1, 9000, (4, 90, 450 * distance), np.uint16)
    path = write_tiff(tmp_path / "a.tif", wide, overviews=overviews)
    whole, in_panels = (
        open_scene(path, ground_sample_distance=distance, panels=panels) for panels in (False, True)
    )
    assert panels_of(whole) == [0]
    assert panels_of(in_panels) == [0, 2048, 4096]
    np.testing.assert_array_equal(together(in_panels), pixels_of(whole))


def test_panels_follow_the_blocks_of_the_overview_that_is_read(tmp_path: Path) -> None:
    wide = np.random.default_rng(5).integers(1, 9000, (4, 60, 8400), np.uint16)
    path = write_tiff(tmp_path / "a.tif", wide, blockxsize=192, blockysize=192)
    with rasterio.Env(GDAL_TIFF_OVR_BLOCKSIZE=512), rasterio.open(path, "r+") as file:
        file.build_overviews([2], Resampling.average)
    with rasterio.open(path, overview_level=0) as file:
        assert file.block_shapes[0] == (512, 512)
    assert panels_of(open_scene(path, panels=True)) == [0, 1920, 3840, 5760, 7680]
    assert panels_of(open_scene(path, ground_sample_distance=20, panels=True)) == [0, 2048, 4096]


@pytest.mark.parametrize("layout", [{}, {"tiled": False, "blockysize": 1}, {"interleave": "band"}])
@pytest.mark.parametrize("distance", [10, 40])
def test_no_block_is_decoded_twice_however_little_gdal_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: dict[str, Any], distance: int
) -> None:
    path = write_tiff(tmp_path / "a.tif", **layout)
    asked: list[tuple[int, int]] = []
    read = rasterio.DatasetReader.read

    def watched(file: Any, indexes: Any, *, window: Window) -> Any:
        asked.append((window.row_off, window.row_off + window.height))
        return read(file, indexes, window=window)

    monkeypatch.setattr(rasterio.DatasetReader, "read", watched)
    pixels_of(open_scene(path, ground_sample_distance=distance))
    rows = 64 if not layout or "interleave" in layout else 1
    asked.sort()
    assert [top for top, _ in asked] == [0, *(bottom for _, bottom in asked[:-1])]
    assert asked[-1][1] == HEIGHT
    assert all(top % rows == 0 for top, _ in asked)
    assert len(asked) < 10


def test_60_m_stay_60_m(tmp_path: Path) -> None:
    known = open_scene(write_tiff(tmp_path / "a.tif", size=60)).metadata
    assert known.ground_sample_distance == 60
    assert any("60 m, not 10 m" in remark for remark in known.remarks)


def test_without_scale_and_offset_an_offset_must_be_given(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", scale=None)
    with pytest.raises(BadMetadata, match="give its offset: -1000"):
        open_scene(path)
    known = open_scene(path, offset=-1000).metadata
    assert known.offsets == dict.fromkeys(BANDS, -1000)
    assert any("was given" in remark for remark in known.remarks)


@pytest.mark.parametrize(
    "size", [10.000000000000002, 9.999999999999998, float(np.float32(20.0)) * (1 + 1e-12)]
)
def test_a_pixel_size_within_float_rounding_is_the_whole_number(
    tmp_path: Path, size: float
) -> None:
    known = open_scene(write_tiff(tmp_path / "a.tif", size=size)).metadata
    assert known.ground_sample_distance == round(size)
    assert known.georeference is not None
    place = (float(round(size)), 0.0, 499980.0, 0.0, -float(round(size)), 5900040.0)
    assert known.georeference.transform == place


def test_bands_whose_grids_differ_by_rounding_are_on_one_grid(tmp_path: Path) -> None:
    for band, pixels in zip(BANDS, PIXELS, strict=True):
        size = 10.000000000000002 if band == "B03" else 10
        write_tiff(tmp_path / f"{band}.tif", pixels[None], names=("",), size=size)
    np.testing.assert_array_equal(pixels_of(open_scene(tmp_path)), PIXELS)


@pytest.mark.parametrize("scale", [0.0001, float(np.float32(0.0001))])
@pytest.mark.parametrize("offset", [-0.1, float(np.float32(-0.1)), 0.0])
def test_tags_that_were_float32_give_whole_numbers(
    tmp_path: Path, scale: float, offset: float
) -> None:
    known = open_scene(write_tiff(tmp_path / "a.tif", scale=scale, offset=offset)).metadata
    assert known.quantification == 10_000
    assert set(known.offsets.values()) == {round(offset * 10_000)}


@pytest.mark.parametrize("offset", [0.1, -0.10005, -2.0, float("nan"), float("-inf")])
def test_an_offset_tag_in_doubt_is_refused(tmp_path: Path, offset: float) -> None:
    path = write_tiff(tmp_path / "a.tif", offset=offset)
    with pytest.raises(BadMetadata, match="give its offset: -1000"):
        open_scene(path)
    assert open_scene(path, offset=0).metadata.offsets["B02"] == 0


def test_a_missing_or_doubled_band_is_named(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", names=("B02", "B03", "B04", "cloud"))
    with pytest.raises(MissingBand, match="B08"):
        open_scene(path)
    path = write_tiff(tmp_path / "a.tif", names=("B02", "blue", "B04", "B08"))
    with pytest.raises(BadMetadata, match="B02"):
        open_scene(path)


def test_a_folder_reports_missing_doubled_and_unequal_bands(tmp_path: Path) -> None:
    for band, pixels in zip(BANDS[:3], PIXELS[:3], strict=True):
        write_tiff(tmp_path / f"{band}.tif", pixels[None], names=("",))
    with pytest.raises(MissingBand, match="B08"):
        open_scene(tmp_path)
    write_tiff(tmp_path / "B08.tif", PIXELS[3:, 1:], names=("",))
    with pytest.raises(BandSizeMismatch, match=r"B08.tif is 150 x 1300"):
        open_scene(tmp_path)
    write_tiff(tmp_path / "x_B08.tif", PIXELS[3:], names=("",))
    with pytest.raises(BadMetadata, match=r"B08.tif and x_B08.tif"):
        open_scene(tmp_path)


@pytest.mark.parametrize(
    ("settings", "error", "cause"),
    [
        ({"size": 30.5}, BadMetadata, "30.5 x -30.5"),
        ({"size": 2000}, BadMetadata, "2000 m"),
        ({"transform": GRID @ rasterio.Affine.scale(1, 2)}, BadMetadata, "10 x -20 m"),
        ({"crs": "EPSG:4326", "size": 10}, BadMetadata, "EPSG:4326, whose unit is not the metre"),
        ({"transform": rasterio.Affine.rotation(30) @ GRID}, BadMetadata, "rotated .* by 30 deg"),
        ({"transform": GRID @ rasterio.Affine.scale(1, -1)}, BadMetadata, "row in the south"),
        ({"size": 10.001}, BadMetadata, r"10.001 x -10.001 m\. Warp it to .* from 1 to 1000"),
        ({"crs": None}, BadMetadata, "no coordinate system"),
        ({"pixels": PIXELS.astype(np.uint8)}, CorruptImage, "uint8"),
        ({"pixels": PIXELS.astype(np.complex64)}, CorruptImage, "complex64"),
    ],
)
def test_unsuitable_files_are_refused(
    tmp_path: Path, settings: dict[str, Any], error: type[Exception], cause: str
) -> None:
    with pytest.raises(error, match=cause):
        open_scene(write_tiff(tmp_path / "a.tif", **settings))


def test_a_file_without_any_grid_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        write_tiff(path, crs=None, transform=None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")  # as in flight, where a warning is not an error
        with pytest.raises(BadMetadata, match="georeference"):
            open_scene(path)
    assert not caught


def test_a_damaged_file_is_corrupt(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif")
    content = path.read_bytes()
    path.write_bytes(b"no TIFF at all")
    with pytest.raises(CorruptImage):
        open_scene(path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises((CorruptImage, MissingBand)):
        pixels_of(open_scene(path))
    middle = len(content) // 2
    path.write_bytes(content[:middle] + b"\xff" * 60_000 + content[middle + 60_000 :])
    with pytest.raises(CorruptImage):
        pixels_of(open_scene(path))


def test_bands_that_are_named_replace_the_descriptions(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", names=("", "red", "", ""))
    with pytest.raises(MissingBand, match=r"nir, or name them"):
        open_scene(path)
    order = ("nir", "B3", "-", "blue")
    scene = open_scene(path, ("B02", "B03", "B08"), file_bands=order)
    np.testing.assert_array_equal(pixels_of(scene), PIXELS[[3, 1, 0]])
    with pytest.raises(BadMetadata, match=r"has 4 bands, but 2 were named \(nir, red\)"):
        open_scene(path, file_bands=("nir", "red"))


def test_what_is_assumed_serves_only_a_file_that_says_nothing(tmp_path: Path) -> None:
    assumed = SceneSettings(offset=-1000, bands=("B08", "B04", "B03", "B02"))
    plain = write_tiff(tmp_path / "a.tif", names=("",) * 4, scale=None)
    scene = open_scene(plain, assumed=assumed)
    assert scene.metadata.offsets == dict.fromkeys(BANDS, -1000)
    assert any("of the settings is assumed" in remark for remark in scene.metadata.remarks)
    np.testing.assert_array_equal(pixels_of(scene), PIXELS[::-1])
    stated = open_scene(write_tiff(tmp_path / "b.tif", offset=0), assumed=assumed)
    assert stated.metadata.offsets == dict.fromkeys(BANDS, 0)
    np.testing.assert_array_equal(pixels_of(stated), PIXELS)


@pytest.mark.parametrize("name", ["scene.tif", "scene.tif.aux.xml", "scene.tif.ovr", "scene.tfw"])
def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    path = write_tiff(tmp_path / "scene.tif")
    (tmp_path / "scene_preview").mkdir()
    open_scene(path)
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(CorruptImage, match="not a plain file") as caught:
        open_scene(tmp_path)
    assert caught.value.subject == str(tmp_path / name)


def test_a_large_xml_file_beside_the_image_is_refused(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "scene.tif")
    with (tmp_path / "scene.tif.aux.xml").open("wb") as file:
        file.truncate((4 << 20) + 1)
    with pytest.raises(CorruptImage, match="larger than 4194304 bytes"):
        open_scene(path)


@pytest.mark.parametrize("form", ["{}.tif", "S2A_29UNU_20221005_0_L2A_{}.tif"])
def test_files_named_by_colour(tmp_path: Path, form: str) -> None:
    for colour, pixels in zip(("blue", "green", "red", "nir"), PIXELS, strict=True):
        write_tiff(tmp_path / form.format(colour), pixels[None], names=("",))
    write_tiff(tmp_path / form.format("visual"), PIXELS, names=("",) * 4)
    np.testing.assert_array_equal(pixels_of(open_scene(tmp_path)), PIXELS)
    (tmp_path / form.format("nir")).unlink()
    with pytest.raises(MissingBand, match=r"lacks band B08; its files have B02, B03, B04"):
        open_scene(tmp_path)


@pytest.mark.parametrize("time", ["20220422T115411", "2022112T115411", "20220422_115411"])
def test_the_time_is_read_from_the_name(tmp_path: Path, time: str) -> None:
    path = write_tiff(tmp_path / f"HLS.S30.T29UNU.{time}.v2.0.tif")
    known = open_scene(path).metadata
    assert known.sensed_at == datetime(2022, 4, 22, 11, 54, 11, tzinfo=timezone.utc)
    assert known.tile_id == "T29UNU"


@pytest.mark.parametrize("name", ["a_20220422_20220509_02", "a_2022112_115411", "a_1234"])
def test_numbers_that_are_not_a_time_are_not_read_as_one(tmp_path: Path, name: str) -> None:
    assert open_scene(write_tiff(tmp_path / f"{name}.tif")).metadata.sensed_at is None


def test_a_description_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", names=("B02", "B03", "B04", "near"))
    path.write_bytes(path.read_bytes().replace(b"near", b"n\xe4he"))
    with pytest.raises(BadMetadata, match="tags whose text is not UTF-8"):
        open_scene(path)


def test_bands_without_descriptions_are_reported_as_such(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", names=("",) * 4)
    with pytest.raises(MissingBand, match="lacks band B02; its bands are not described"):
        open_scene(path)


@pytest.mark.parametrize("size", [1, 3, 30, 100, 1000])
def test_pixels_of_any_whole_metre_are_processed_at_their_own_size(
    tmp_path: Path, size: int
) -> None:
    known = open_scene(write_tiff(tmp_path / "a.tif", size=size)).metadata
    assert known.ground_sample_distance == size
    assert f"the scene is processed at {size} m, not 10 m" in known.remarks
    assert any("the sensor is unknown" in remark for remark in known.remarks)


def test_a_file_of_the_half_pixel_size_is_reduced(tmp_path: Path) -> None:
    scene = open_scene(write_tiff(tmp_path / "a.tif", size=5))
    assert scene.metadata.ground_sample_distance == 10
    np.testing.assert_array_equal(pixels_of(scene), PIXELS[:, ::2, ::2])


def test_the_sensor_is_not_in_doubt_in_a_scene_of_sentinel_2(tmp_path: Path) -> None:
    scenes = [
        write_tiff(tmp_path / "a.tif"),
        write_tiff(tmp_path / "b.tif", size=60),
        write_tiff(tmp_path / "HLS.S30.T29UNU.2022278T115411.v2.0.tif", size=30),
    ]
    for scene in scenes:
        assert not any("sensor" in remark for remark in open_scene(scene).metadata.remarks)


@pytest.mark.parametrize(
    ("form", "numbers", "platform"),
    [
        ("LC08_L2SP_196023_20200603_20200824_02_T1_SR_B{}.TIF", (2, 3, 4, 5), "landsat-8"),
        ("LC09_L2SP_196023_20200603_20200824_02_T1_SR_B{}.TIF", (2, 3, 4, 5), "landsat-9"),
        ("LE07_L2SP_196023_20200603_20200824_02_T1_SR_B{}.TIF", (1, 2, 3, 4), "landsat-7"),
        ("HLS.L30.T29UNU.2022278T115411.v2.0.B0{}.tif", (2, 3, 4, 5), "landsat"),
    ],
)
def test_landsats_files_are_found_by_its_own_band_numbers(
    tmp_path: Path, form: str, numbers: tuple[int, ...], platform: str
) -> None:
    others = {1, 2, 3, 4, 5, 6, 7, 8} - {*numbers}
    for number in others:
        write_tiff(tmp_path / form.format(number), PIXELS[:1], names=("",), scale=None)
    for number, pixels in zip(numbers, PIXELS, strict=True):
        write_tiff(tmp_path / form.format(number), pixels[None], names=("",), scale=None, size=30)
    scene = open_scene(tmp_path, scale=2.75e-5, offset=-0.2)
    assert scene.metadata.platform == platform
    assert scene.metadata.quantification == pytest.approx(1 / 2.75e-5)
    assert [*scene.metadata.offsets.values()] == pytest.approx([-0.2 / 2.75e-5] * 4)
    np.testing.assert_array_equal(pixels_of(scene), PIXELS)


@pytest.mark.parametrize("layout", ["one file", "a folder"])
@pytest.mark.parametrize("distance", [10, 20])
def test_hls_values_become_digital_numbers(tmp_path: Path, layout: str, distance: int) -> None:
    values = PIXELS.astype(np.int16) - 500
    values[:, :30, :50] = -9999
    values[2, 40, 60] = -9999
    if layout == "one file":
        path = write_tiff(tmp_path / "a.tif", values, offset=0, nodata=-9999)
    else:
        path = tmp_path
        for band, pixels in zip(BANDS, values, strict=True):
            write_tiff(tmp_path / f"{band}.tif", pixels[None], names=("",), offset=0, nodata=-9999)
    scene = open_scene(path, ground_sample_distance=distance)
    assert scene.metadata.offsets == dict.fromkeys(BANDS, -1000)
    assert not scene.metadata.zero_is_measured
    expected = np.where(values == -9999, 0, values + 1000)
    step = distance // 10
    np.testing.assert_array_equal(pixels_of(scene), expected[:, ::step, ::step])


def test_zero_is_no_data_only_if_all_bands_have_it(tmp_path: Path) -> None:
    reflectance = (PIXELS.astype(np.float64) / 10_000).astype(np.float32) + 0.01
    reflectance[:, :5] = 0.0
    reflectance[3, 8] = 0.0
    for band, pixels in zip(BANDS, reflectance, strict=True):
        write_tiff(tmp_path / f"{band}.tif", pixels[None], names=("",), scale=None)
    found = pixels_of(open_scene(tmp_path))
    assert (found[:, :5] == 0).all()
    assert (found[3, 8] == 1000).all()
    assert (found[:, 5:] > 0).all()


def test_float_reflectance_has_nan_as_no_data_in_any_band(tmp_path: Path) -> None:
    reflectance = (PIXELS / 10_000 - 0.1).astype(np.float32)
    reflectance[1, 7, 9] = np.nan
    scene = open_scene(write_tiff(tmp_path / "a.tif", reflectance, scale=None))
    expected = np.maximum(PIXELS, 1)
    expected[1, 7, 9] = 0
    np.testing.assert_array_equal(pixels_of(scene), expected)


@pytest.mark.parametrize("value", [np.inf, -np.inf, -9999.0, 300.0, 3.4e38])
def test_a_value_that_is_not_reflectance_stops_the_scene(tmp_path: Path, value: float) -> None:
    reflectance = np.full((4, 300, 100), 0.2, np.float32)
    reflectance[2, 290, 10] = value
    scene = open_scene(write_tiff(tmp_path / "a.tif", reflectance, scale=None))
    with pytest.raises(CorruptImage, match=r"band B04.*not from -0.3 to 10. Give scale") as caught:
        pixels_of(scene)
    assert caught.value.subject == str(tmp_path / "a.tif")


def test_a_value_that_is_given_as_no_data_replaces_the_tag(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", np.maximum(PIXELS, 1), nodata=7, offset=0)
    pixels = pixels_of(open_scene(path, nodata=int(PIXELS[0, 0, 0])))
    assert (pixels[0][PIXELS[0] == PIXELS[0, 0, 0]] == 0).all()
    known = open_scene(path, nodata=0).metadata
    assert "no data 0 was given and replaces the file's" in known.remarks
    np.testing.assert_array_equal(pixels_of(open_scene(path, nodata=0)), np.maximum(PIXELS, 1))


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ({"scale": 0.0}, "scale must be above 0"),
        ({"scale": -1e-4}, "scale must be above 0"),
        ({"scale": float("nan")}, "scale must be above 0"),
        ({"scale": 1.5}, "scale must be above 0"),
        ({"scale": 1e-4, "offset": -1000}, "from -1 to 0 if a scale is given"),
        ({"scale": 1e-4, "offset": float("nan")}, "from -1 to 0 if a scale is given"),
        ({"offset": -0.1}, "whole number from -10000 to 0"),
    ],
)
def test_a_scale_or_offset_that_cannot_be_is_refused(
    tmp_path: Path, arguments: dict[str, float], cause: str
) -> None:
    with pytest.raises(UsageError, match=cause):
        open_scene(write_tiff(tmp_path / "a.tif"), **arguments)
