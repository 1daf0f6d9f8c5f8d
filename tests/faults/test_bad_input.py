"""Each bad input, as a user sees it: one line with subject, cause and cure; nothing is written."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import glymur
import numpy as np
import pytest

from flightsw.cli import main
from flightsw.model.package import shipped_package
from tests.conftest import Simulated
from tests.unit.flightsw.scene.safe_writer import SafeProduct


@pytest.fixture
def good_scene(simulated: Simulated) -> Path:
    return simulated.scene


Process = Callable[..., int]


@pytest.fixture
def process(small_package: Path) -> Process:
    """``flightsw process SCENE -o OUT OPTIONS``; its exit status.

    The network has one layer: nothing here depends on what it finds.
    """

    def run(scene: Path, out: Path, *options: str) -> int:
        return main(
            ["process", str(scene), "-o", str(out), "--model", str(small_package), *options]
        )

    return run


@pytest.fixture
def scene(good_scene: Path, tmp_path: Path) -> Path:
    """A copy that the test may spoil, without the manifest that would reveal it immediately."""
    copy = tmp_path / good_scene.name
    shutil.copytree(good_scene, copy)
    (copy / "manifest.safe").unlink()
    return copy


def _band(scene: Path, band: str) -> Path:
    return next(scene.glob(f"GRANULE/*/IMG_DATA/R10m/*_{band}_10m.jp2"))


def _product_xml(scene: Path) -> Path:
    return scene / "MTD_MSIL2A.xml"


def _remove_band(scene: Path) -> None:
    _band(scene, "B03").unlink()


def _shrink_band(scene: Path) -> None:
    path = _band(scene, "B04")
    pixels = glymur.Jp2k(path)[:]
    path.unlink()
    smaller = np.ascontiguousarray(pixels[:-10])
    glymur.Jp2k(path, data=smaller, tilesize=smaller.shape)


def _truncate_band(scene: Path) -> None:
    path = _band(scene, "B02")
    path.write_bytes(path.read_bytes()[:-5000])


def _replace_by_text(scene: Path) -> None:
    _band(scene, "B08").write_text("no picture at all")


def _empty_band(scene: Path) -> None:
    _band(scene, "B08").write_bytes(b"")


def _remove_offsets(scene: Path) -> None:
    text = _product_xml(scene).read_text()
    _product_xml(scene).write_text(re.sub(r"<BOA_ADD_OFFSET .*?</BOA_ADD_OFFSET>", "", text))


def _strange_offset(scene: Path) -> None:
    text = _product_xml(scene).read_text()
    _product_xml(scene).write_text(
        text.replace(">-1000</BOA_ADD_OFFSET>", ">minus</BOA_ADD_OFFSET>")
    )


def _implausible_offset(scene: Path) -> None:
    text = _product_xml(scene).read_text()
    _product_xml(scene).write_text(
        text.replace(">-1000</BOA_ADD_OFFSET>", ">70000</BOA_ADD_OFFSET>")
    )


def _unreadable_xml(scene: Path) -> None:
    _product_xml(scene).write_text("<n1:Level-2A_User_Product")


def _all_no_data(scene: Path) -> None:
    for band in ("B02", "B03", "B04", "B08"):
        path = _band(scene, band)
        shape = glymur.Jp2k(path).shape
        path.unlink()
        glymur.Jp2k(path, data=np.zeros(shape, np.uint16), tilesize=shape)


def _remove_granule(scene: Path) -> None:
    shutil.rmtree(scene / "GRANULE")


@dataclass(frozen=True)
class _Spoiled:
    spoil: Callable[[Path], None]
    code: str
    says: str


_SPOILED = [
    _Spoiled(_remove_band, "MISSING_BAND", "B03"),
    _Spoiled(_shrink_band, "BAND_SIZE_MISMATCH", "B04"),
    _Spoiled(_truncate_band, "CORRUPT_IMAGE", "_B02_10m.jp2"),
    _Spoiled(_replace_by_text, "CORRUPT_IMAGE", "_B08_10m.jp2"),
    _Spoiled(_empty_band, "CORRUPT_IMAGE", "_B08_10m.jp2"),
    _Spoiled(_remove_offsets, "BAD_METADATA", "--offset"),
    _Spoiled(_strange_offset, "BAD_METADATA", "minus"),
    _Spoiled(_implausible_offset, "BAD_METADATA", "70000"),
    _Spoiled(_unreadable_xml, "BAD_METADATA", "MTD_MSIL2A.xml"),
    _Spoiled(_all_no_data, "EMPTY_SCENE", "no data"),
    _Spoiled(_remove_granule, "SCENE_NOT_FOUND", ".SAFE"),
]


@pytest.mark.parametrize("case", _SPOILED, ids=lambda case: case.spoil.__name__.strip("_"))
def test_a_spoiled_scene_is_refused_and_nothing_is_written(
    case: _Spoiled, scene: Path, process: Process, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    case.spoil(scene)
    out = tmp_path / "products"
    out.mkdir()
    assert process(scene, out, "--json") == 3
    output = capfd.readouterr()
    error = json.loads(output.out)["error"]
    assert error["code"] == case.code
    assert case.says in output.err
    assert len(output.err.splitlines()) == 1
    assert list(out.iterdir()) == []


def test_one_flipped_bit_is_found_by_the_manifest(
    good_scene: Path, process: Process, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    scene = tmp_path / good_scene.name
    shutil.copytree(good_scene, scene)
    path = _band(scene, "B04")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(bytes(content))
    out = tmp_path / "products"
    assert process(scene, out, "--json") == 3
    assert json.loads(capfd.readouterr().out)["error"]["code"] == "CORRUPT_IMAGE"
    assert not out.exists()


def test_an_offset_given_by_the_operator_cures_absent_metadata(
    scene: Path, process: Process, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _remove_offsets(scene)
    out = tmp_path / "products"
    assert process(scene, out, "--offset", "-1000", "--json") == 0
    assert any("offset" in remark for remark in json.loads(capfd.readouterr().out)["remarks"])


def test_a_path_without_a_scene_is_refused(
    process: Process, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "nothing.SAFE"
    assert process(missing, tmp_path / "out") == 3
    assert str(missing) in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_in_place_of_the_output_folder_is_refused(
    good_scene: Path, process: Process, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "taken"
    out.write_text("mine")
    assert process(good_scene, out) == 6
    assert "not a folder" in capfd.readouterr().err
    assert out.read_text() == "mine"


def test_an_unknown_product_is_refused_with_the_known_ones(
    good_scene: Path, process: Process, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert process(good_scene, tmp_path / "out", "--products", "mask,poster") == 2
    message = capfd.readouterr().err
    assert "poster" in message
    assert "quicklook" in message


def test_a_settings_file_with_an_unknown_key_is_refused(
    good_scene: Path, process: Process, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("[pipeline]\nqueue = 3\n")
    assert process(good_scene, tmp_path / "out", "--settings", str(settings)) == 2
    message = capfd.readouterr().err
    assert str(settings) in message
    assert "queue" in message


@pytest.fixture
def package(tmp_path: Path) -> Path:
    copy = tmp_path / "package"
    shutil.copytree(shipped_package(), copy)
    return copy


def _process_with(package: Path, scene: Path, out: Path) -> int:
    return main(["process", str(scene), "-o", str(out), "--model", str(package)])


def test_a_tampered_model_package_never_runs(
    package: Path, good_scene: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    graph = package / "compiled_model" / "quantized_model.onnx"
    content = bytearray(graph.read_bytes())
    content[1000] ^= 1
    graph.write_bytes(bytes(content))
    assert _process_with(package, good_scene, tmp_path / "out") == 4
    assert "quantized_model.onnx" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_a_model_package_is_refused(
    good_scene: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert _process_with(tmp_path, good_scene, tmp_path / "out") == 4
    assert str(tmp_path) in capfd.readouterr().err


def test_a_scene_smaller_than_a_tile_is_processed(
    process: Process, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    scene = SafeProduct(height=97, width=97).write(tmp_path)
    out = tmp_path / "products"
    assert process(scene, out, "--json") == 0
    assert json.loads(capfd.readouterr().out)["summary"]["tiles"] == 1
    assert np.load(next(out.glob("*_cloud_mask.npy"))).shape == (97, 97)


@pytest.mark.parametrize("least", ["unknown", "doubtful"])
def test_a_damaged_manifest_is_refused_unless_that_is_allowed(
    good_scene: Path,
    process: Process,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    least: str,
) -> None:
    copy = tmp_path / good_scene.name
    shutil.copytree(good_scene, copy)
    manifest = copy / "manifest.safe"
    manifest.write_bytes(manifest.read_bytes()[:-9])
    settings = tmp_path / "settings.toml"
    settings.write_text(f'[pipeline]\nleast_integrity = "{least}"\n[dimc]\ncard = "simulator"\n')
    out = tmp_path / "out"
    status = process(copy, out, "--json", "--settings", str(settings))
    printed = json.loads(capfd.readouterr().out)
    if least == "doubtful":
        assert (status, printed["integrity"]) == (0, "doubtful")
    else:
        assert (status, printed["error"]["code"]) == (3, "INTEGRITY_TOO_LOW")
        assert not out.exists()
