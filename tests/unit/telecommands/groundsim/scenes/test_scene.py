"""A simulated product is what a reader of real products expects, and its truth is true."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import glymur
import numpy as np
import pytest
import rasterio
from affine import Affine
from lxml import etree
from numpy.typing import NDArray

from telecommands.ground.errors import DiskFull, OutputNotWritable, ProductExists, UsageError
from telecommands.groundsim.cli import main
from telecommands.groundsim.scenes.product_names import BANDS, COARSER_BANDS, grid_position
from telecommands.groundsim.scenes.scene import SceneRequest, SimulatedScene, simulate_scene


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> SimulatedScene:
    out = tmp_path_factory.mktemp("scenes")
    return simulate_scene(SceneRequest(out, size=1100, seed=3))


def bands_of(scene: Path) -> NDArray[np.uint16]:
    paths = [next(scene.glob(f"GRANULE/*/IMG_DATA/**/*_{band}*.jp2")) for band in BANDS]
    return np.stack([glymur.Jp2k(path)[:] for path in paths])


def metadata(scene: Path) -> etree._ElementTree:
    return etree.parse(next(scene.glob("MTD_MSI*.xml")))


def test_layout_and_names_are_those_of_a_level_2a_product(simulated: SimulatedScene) -> None:
    name = "S2A_MSIL2A_20230504T103031_N0510_R065_T32TQM_20230504T154331"
    granule = "GRANULE/L2A_T32TQM_A041042_20230504T103031"
    assert simulated.scene.name == f"{name}.SAFE"
    assert simulated.truth == simulated.scene.with_name(f"{name}_truth.npy")
    files = sorted(
        str(path.relative_to(simulated.scene))
        for path in simulated.scene.rglob("*")
        if path.is_file()
    )
    assert files == [
        *(f"{granule}/IMG_DATA/R10m/T32TQM_20230504T103031_{band}_10m.jp2" for band in BANDS),
        f"{granule}/MTD_TL.xml",
        "MTD_MSIL2A.xml",
        "manifest.safe",
    ]


def test_metadata_name_the_images_offsets_and_baseline(simulated: SimulatedScene) -> None:
    root = metadata(simulated.scene).getroot()
    assert root.findtext(".//PROCESSING_BASELINE") == "05.10"
    assert root.findtext(".//BOA_QUANTIFICATION_VALUE") == "10000"
    offsets = root.findall(".//BOA_ADD_OFFSET_VALUES_LIST/BOA_ADD_OFFSET")
    assert [int(offset.get("band_id", "")) for offset in offsets] == list(range(13))
    assert {offset.text for offset in offsets} == {"-1000"}
    for image in root.findall(".//IMAGE_FILE"):
        assert (simulated.scene / f"{image.text}.jp2").is_file()


def test_tile_metadata_place_the_scene_and_the_sun(simulated: SimulatedScene) -> None:
    root = etree.parse(next(simulated.scene.glob("GRANULE/*/MTD_TL.xml"))).getroot()
    assert root.findtext(".//HORIZONTAL_CS_CODE") == "EPSG:32632"
    assert root.findtext(".//Size[@resolution='10']/NROWS") == "1100"
    assert root.findtext(".//Geoposition[@resolution='10']/ULX") == "699980"
    assert root.findtext(".//TILE_ID", "").endswith("_T32TQM_N05.10")
    azimuth = float(root.findtext(".//Mean_Sun_Angle/AZIMUTH_ANGLE", ""))
    assert azimuth == pytest.approx(simulated.sun_azimuth)


def test_metadata_have_the_root_and_places_of_a_real_product(
    simulated: SimulatedScene, shared_data: Path
) -> None:
    real_product = next((shared_data / "safe").glob("*T29UNU*.SAFE"))
    for pattern in ("MTD_MSIL2A.xml", "GRANULE/*/MTD_TL.xml", "manifest.safe"):
        real = etree.parse(next(real_product.glob(pattern)))
        ours = etree.parse(next(simulated.scene.glob(pattern)))
        assert ours.getroot().tag == real.getroot().tag
        real_places = {real.getelementpath(element).split("[")[0] for element in real.iter("*")}
        for element in ours.iter("*"):
            place = ours.getelementpath(element).split("[")[0]
            assert place in real_places, place


def test_manifest_holds_the_true_checksum_of_every_file(simulated: SimulatedScene) -> None:
    root = etree.parse(simulated.scene / "manifest.safe").getroot()
    listed = {}
    for stream in root.iter("byteStream"):
        href = stream.find("fileLocation").get("href")
        checksum = stream.find("checksum")
        assert checksum.get("checksumName") == "SHA3-256"
        content = (simulated.scene / href).read_bytes()
        assert hashlib.sha3_256(content).hexdigest() == checksum.text
        assert len(content) == int(stream.get("size"))
        listed[(simulated.scene / href).resolve()] = checksum.text
    files = {path.resolve() for path in simulated.scene.rglob("*") if path.is_file()}
    assert files - set(listed) == {(simulated.scene / "manifest.safe").resolve()}


def test_bands_are_coded_as_esa_codes_them(simulated: SimulatedScene) -> None:
    for path in simulated.scene.rglob("*.jp2"):
        segments = glymur.Jp2k(path).get_codestream(header_only=False).segment
        size = next(segment for segment in segments if segment.marker_id == "SIZ")
        coding = next(segment for segment in segments if segment.marker_id == "COD")
        assert (size.xsiz, size.ysiz, size.xtsiz, size.ytsiz) == (1100, 1100, 1024, 1024)
        assert (size.bitdepth, size.signed) == ((15,), (False,))
        assert coding.num_res == 4  # decompositions: five resolutions
        assert tuple(coding.code_block_size) == (64, 64)
        assert coding.xform == glymur.core.WAVELET_XFORM_5X3_REVERSIBLE
        assert coding.prog_order == glymur.core.LRCP
        assert coding.layers == 1
        precincts = path.read_bytes()[coding.offset + 14 : coding.offset + 19]
        assert precincts == b"\x88" * 5  # 256 x 256 (table A.21); glymur's own field overflows
        markers = [segment.marker_id for segment in segments]
        assert markers.count("SOT") == markers.count("PLT") == 4
        lengths = next(segment for segment in segments if segment.marker_id == "PLT")
        assert len(lengths.iplt) == 23  # of a whole tile
        quantisation = next(segment for segment in segments if segment.marker_id == "QCD")
        assert quantisation.guard_bits == 1
        assert quantisation.exponent[0] == 16


def test_bands_have_their_place_in_gml_before_the_codestream(simulated: SimulatedScene) -> None:
    position = grid_position("T32TQM")
    for path in simulated.scene.rglob("*.jp2"):
        with rasterio.open(path) as band:
            assert band.crs.to_epsg() == position.epsg
            assert band.transform == Affine(10, 0, position.left, 0, -10, position.top)
        assert [box.box_id for box in glymur.Jp2k(path).box][-2:] == ["asoc", "jp2c"]


def test_beyond_the_swath_every_band_is_0_and_the_truth_says_so(simulated: SimulatedScene) -> None:
    bands, truth = bands_of(simulated.scene), np.load(simulated.truth)
    no_data = truth == 255
    assert 0.05 < no_data.mean() < 0.2
    assert (bands == 0).all(axis=0).tolist() == no_data.tolist()
    assert (bands[:, ~no_data] > 0).all()
    width = (~no_data).sum(axis=1)  # slanted: ever narrower downwards
    assert width[0] > width[-1]
    assert (np.diff(width) <= 0).all()


def test_clouds_are_bright_and_shadows_dark(simulated: SimulatedScene) -> None:
    bands, truth = bands_of(simulated.scene).astype(float) - 1000, np.load(simulated.truth)
    clear, thick, thin, shadow = (np.median(bands[:, truth == k], axis=1) for k in range(4))
    assert (thick[:3] > 4 * clear[:3]).all()
    assert (thick > thin).all()
    assert (thin[:3] > 1.5 * clear[:3]).all()
    assert (shadow < 0.8 * clear).all()
    assert shadow[3] / clear[3] < shadow[0] / clear[0]  # the sky lights the blue


def test_shadows_lie_away_from_the_sun(tmp_path: Path) -> None:
    made = simulate_scene(SceneRequest(tmp_path, size=600, seed=5, cloud_cover=0.15, no_data=False))
    truth = np.load(made.truth)
    cloud, shadow = (truth == 1).astype(float), (truth == 3).astype(float)
    spectrum = np.conj(np.fft.rfft2(cloud)) * np.fft.rfft2(shadow)
    likeness = np.fft.irfft2(spectrum, s=truth.shape)
    down, right = np.unravel_index(likeness.argmax(), likeness.shape)
    south, east = (int(k) - 600 if k > 300 else int(k) for k in (down, right))
    away = np.degrees(np.arctan2(-east, south)) % 360  # bearing from shadow to cloud
    difference = (away - made.sun_azimuth + 180) % 360 - 180
    assert abs(difference) < 20
    assert np.hypot(south, east) == pytest.approx(
        140 * np.tan(np.radians(made.sun_zenith)), rel=0.3
    )


def test_cover_and_rate_are_those_asked_for(tmp_path: Path) -> None:
    request = SceneRequest(tmp_path, size=512, seed=8, cloud_cover=0.3, no_data=False, bits=7)
    made = simulate_scene(request)
    assert made.cloud_fraction == pytest.approx(0.3, abs=0.04)
    assert made.no_data_fraction == 0
    coded = [path.stat().st_size * 8 / 512**2 for path in made.scene.rglob("*.jp2")]
    assert np.mean(coded) == pytest.approx(7, abs=0.5)
    assert made.bits_per_pixel == pytest.approx(np.mean(coded))


def test_a_seed_gives_the_same_files_whatever_the_workers(
    tmp_path: Path, simulated: SimulatedScene
) -> None:
    again = simulate_scene(SceneRequest(tmp_path, size=1100, seed=3, workers=3))
    for path in simulated.scene.rglob("*"):
        if path.is_file():
            twin = again.scene / path.relative_to(simulated.scene)
            assert twin.read_bytes() == path.read_bytes()
    assert again.truth.read_bytes() == simulated.truth.read_bytes()


def test_an_old_level_1c_scene_has_no_offset(tmp_path: Path) -> None:
    made = simulate_scene(
        SceneRequest(tmp_path, size=300, seed=1, level="L1C", baseline="02.14", cloud_cover=0)
    )
    root = metadata(made.scene).getroot()
    assert root.tag.endswith("Level-1C_User_Product")
    assert root.findtext(".//QUANTIFICATION_VALUE") == "10000"
    assert root.find(".//RADIO_ADD_OFFSET") is None
    assert len(list(made.scene.glob("GRANULE/L1C_*/IMG_DATA/T32TQM_*_B0?.jp2"))) == 4
    bands, truth = bands_of(made.scene), np.load(made.truth)
    assert set(np.unique(truth)) == {0, 255}
    assert 700 < np.median(bands[0][truth == 0]) < 2000  # blue air light, no offset


def test_a_new_level_1c_scene_has_the_radiometric_offset(tmp_path: Path) -> None:
    made = simulate_scene(SceneRequest(tmp_path, size=200, level="L1C", baseline="04.00"))
    offsets = metadata(made.scene).findall(".//Radiometric_Offset_List/RADIO_ADD_OFFSET")
    assert [offset.text for offset in offsets] == ["-1000"] * 13


def test_grid_position_is_that_of_a_real_tile() -> None:
    place = grid_position("T29UNU")
    assert (place.epsg, place.zone, place.left, place.top) == (32629, "29N", 499_980, 5_900_040)
    south = grid_position("T22HBD")  # read from a real product
    assert south.epsg == 32722


def test_an_existing_product_is_refused_unless_forced(tmp_path: Path) -> None:
    request = SceneRequest(tmp_path, size=100)
    made = simulate_scene(request)
    before = made.truth.stat().st_mtime_ns
    with pytest.raises(ProductExists):
        simulate_scene(request)
    assert made.truth.stat().st_mtime_ns == before
    simulate_scene(replace(request, force=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [made.scene.name, made.truth.name]
    )


@pytest.mark.parametrize(
    "wrong",
    [{"tile_id": "32TQM"}, {"cloud_cover": 1.5}, {"size": 3}, {"bits": 20.0}, {"baseline": "5.1"}],
)
def test_what_cannot_be_simulated_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        simulate_scene(replace(SceneRequest(tmp_path, size=100), **wrong))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_failure_halfway_leaves_nothing(tmp_path: Path) -> None:
    def fail(_done: int, _of: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(DiskFull):
        simulate_scene(SceneRequest(tmp_path / "new" / "out", size=100), fail)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing_and_exits_130(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from telecommands.groundsim import cli\n"
        "from telecommands.groundsim.scenes import scene\n"
        "write = scene.BandWriter.write\n"
        "def interrupted(self, tile):\n"
        "    if self._path.name.endswith('_B03_10m.jp2'):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    return write(self, tile)\n"
        "scene.BandWriter.write = interrupted\n"
        f"sys.exit(cli.main(['scene', {str(tmp_path)!r}, '--size', '300']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_grow_is_an_error_in_one_line(tmp_path: Path) -> None:
    program = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "from telecommands.groundsim import cli\n"
        f"sys.exit(cli.main(['scene', {str(tmp_path)!r}, '--size', '400']))\n"
    )
    # Coverage could not write its file either.
    unmeasured = {name: text for name, text in os.environ.items() if "COVERAGE" not in name}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=unmeasured,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("groundsim: ")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputNotWritable):
        simulate_scene(SceneRequest(tmp_path / "out", size=100))


def test_the_command_prints_one_json_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scene", str(tmp_path), "--size", "128", "--no-no-data", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert Path(record["scene"]).is_dir()
    assert np.load(record["truth"]).shape == (128, 128)
    assert record["contaminated_fraction"] == pytest.approx(
        record["cloud_fraction"] + record["shadow_fraction"]
    )


def test_wrong_usage_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scene"]) == 2
    assert main(["scene", "out", "--tile-id", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err


@pytest.fixture(scope="module")
def all_bands(tmp_path_factory: pytest.TempPathFactory) -> SimulatedScene:
    out = tmp_path_factory.mktemp("all")
    return simulate_scene(SceneRequest(out, size=400, seed=3, level="L1C", bands="all"))


def test_all_bands_of_level_1c_have_their_own_distances(all_bands: SimulatedScene) -> None:
    paths = sorted(all_bands.scene.glob("GRANULE/*/IMG_DATA/*.jp2"))
    sizes = {path.stem[-3:]: glymur.Jp2k(path).shape for path in paths}
    assert sizes == {
        **dict.fromkeys(BANDS, (400, 400)),
        **dict.fromkeys(COARSER_BANDS[20], (200, 200)),
        **dict.fromkeys(COARSER_BANDS[60], (67, 67)),
    }
    named = {element.text for element in metadata(all_bands.scene).iterfind(".//{*}IMAGE_FILE")}
    assert named == {str(path.relative_to(all_bands.scene))[:-4] for path in paths}
    listed = metadata(all_bands.scene).findall(".//{*}Spectral_Information")
    assert [element.get("physicalBand") for element in listed][-6:] == [
        *("B8", "B8A", "B9", "B10", "B11", "B12")
    ]
    manifest = (all_bands.scene / "manifest.safe").read_text()
    assert all(path.name in manifest for path in paths)


def test_all_bands_leave_the_four_and_the_truth_as_they_are(
    all_bands: SimulatedScene, tmp_path: Path
) -> None:
    four = simulate_scene(SceneRequest(tmp_path, size=400, seed=3, level="L1C"))
    assert four.truth.read_bytes() == all_bands.truth.read_bytes()
    np.testing.assert_array_equal(bands_of(four.scene), bands_of(all_bands.scene))


def test_coarser_bands_show_the_same_land_and_clouds(all_bands: SimulatedScene) -> None:
    def reduced(pixels: NDArray[np.generic], factor: int) -> NDArray[np.float64]:
        side = 400 // factor
        cut = pixels[: side * factor, : side * factor]
        return cut.reshape(side, factor, side, factor).mean(axis=(1, 3))

    def band(name: str) -> NDArray[np.uint16]:
        path = next(all_bands.scene.glob(f"GRANULE/*/IMG_DATA/*_{name}.jp2"))
        return np.asarray(glymur.Jp2k(path)[:])

    truth = np.load(all_bands.truth)
    for name, like, factor in (("B8A", "B08", 2), ("B05", "B04", 2), ("B01", "B02", 6)):
        valid = reduced(truth == 255, factor) == 0
        side = len(valid)
        found, expected = band(name)[:side, :side], reduced(band(like), factor)
        assert np.corrcoef(found[valid], expected[valid])[0, 1] > 0.95
        assert (found[reduced(truth == 255, factor) > 0] == 0).all()
    cirrus, clouds = band("B10")[:66, :66], reduced(truth == 1, 6)
    assert cirrus[clouds == 1].mean() > cirrus[(clouds == 0) & (cirrus > 0)].mean() + 50


def test_bands_at_60_m_are_coded_as_esa_codes_them(all_bands: SimulatedScene) -> None:
    path = next(all_bands.scene.glob("GRANULE/*/IMG_DATA/*_B01.jp2"))
    segments = glymur.Jp2k(path).get_codestream().segment
    coding = next(one for one in segments if one.marker_id == "COD")
    assert (coding.code_block_size, coding.num_res) == ((4, 4), 4)
    assert set(np.ravel(coding.precinct_size).tolist()) == {64}


def test_level_2a_has_a_folder_for_each_distance_and_no_b10(tmp_path: Path) -> None:
    made = simulate_scene(SceneRequest(tmp_path, size=100, bands="all", cloud_cover=0))
    found = {path.name[-11:-4]: path.parent.name for path in made.scene.rglob("*.jp2")}
    assert found == {
        **{f"{band}_10m": "R10m" for band in BANDS},
        **{f"{band}_20m": "R20m" for band in COARSER_BANDS[20]},
        **{f"{band}_60m": "R60m" for band in ("B01", "B09")},
    }
