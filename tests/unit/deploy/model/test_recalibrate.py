from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from deploy.model.compile import main
from deploy.model.networks import onnx_network, package_network
from deploy.model.recalibrate import (
    Recalibration,
    float_graph_of,
    read_scenes,
    recalibrate,
    require_new_release,
)
from deploy.model.sign import generate, sign
from flightsw.errors import OutputNotWritable, UsageError
from flightsw.model.package import ModelPackage, load_package
from flightsw.model.signature import signer
from tests.conftest import run_command
from tests.unit.deploy.model.simulated_taught import simulated_reflectance

_GRAPH = "quantized_model.onnx"
_HOW = Recalibration(ranges="percentile", windows=6)


def _write_images(folder: Path, count: int = 6, offset: int = 0) -> Path:
    """Images of three times three simulated tiles, as a person would keep scenes."""
    folder.mkdir()
    for number in range(count):
        tiles = simulated_reflectance(seed=100 + number)[:9].reshape(3, 3, 4, 32, 32)
        bands = tiles.transpose(2, 0, 3, 1, 4).reshape(4, 96, 96)
        numbers = np.rint(bands * 10_000 + 1 - offset).astype(np.uint16)
        np.savez(folder / f"scene_{number}.npz", bands=numbers)
    return folder


@pytest.fixture
def former(released: Path) -> ModelPackage:
    return load_package(released)


def test_a_new_release_keeps_the_weights_and_measures_on_images_that_did_not_calibrate(
    former: ModelPackage, float_graph: Path, tmp_path: Path
) -> None:
    graph = onnx.load(str(float_graph))
    tiles = read_scenes(_write_images(tmp_path / "scenes"))
    package = recalibrate(former, graph, tiles, tmp_path / "tiny-1.1", _HOW)
    assert (package.version, package.bands) == ("1.1", former.bands)
    assert package.measured["calibration_images"] == 4
    assert package.measured["tiles"] == 2
    assert package.measured["mean_agreement"] > 0.97
    assert package.temperature == former.temperature
    assert package.first_look is None
    before, after = (one.compiled_model("spatial") for one in (former, package))
    assert before.joinpath(_GRAPH).read_bytes() != after.joinpath(_GRAPH).read_bytes()
    notice = (package.folder / "NOTICE").read_text()
    assert notice == (former.folder / "NOTICE").read_text().replace("tiny 1.0", "tiny 1.1")
    windows = simulated_reflectance(seed=9)
    expected = onnx_network(graph).logits(windows).argmax(axis=1)
    assert (package_network(package).logits(windows).argmax(axis=1) == expected).mean() > 0.97
    generate(tmp_path / "releases")
    sign(package.folder, tmp_path / "releases.release_key_secret")
    assert signer(package.folder, tmp_path) == "releases"


@pytest.mark.parametrize(
    ("name", "error"),
    [("tiny-1.0", UsageError), ("other-1.1", UsageError), ("tiny-1.1", OutputNotWritable)],
)
def test_only_another_version_of_the_same_package_is_written(
    former: ModelPackage, tmp_path: Path, name: str, error: type[Exception]
) -> None:
    (tmp_path / "tiny-1.1").mkdir()
    with pytest.raises(error, match=name):
        require_new_release(former, tmp_path / name)


def test_a_package_without_weights_cannot_be_quantised_again(former: ModelPackage) -> None:
    assert former.network is None
    with pytest.raises(UsageError, match="no floating-point weights"):
        float_graph_of(former)


def test_too_few_images_and_files_of_another_kind_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has none of the images"):
        read_scenes(tmp_path)
    folder = _write_images(tmp_path / "scenes", count=4)
    numbers = np.zeros((4, 96, 96), np.uint16)
    numbers[:, :20] = 1000
    np.savez(folder / "scene_0.npz", bands=numbers)  # most of it has no data
    with pytest.raises(UsageError, match="has 3 images with data in half of their pixels"):
        read_scenes(folder)
    np.savez(folder / "scene_0.npz", bands=numbers[:3])
    with pytest.raises(UsageError, match=r"scene_0\.npz has 3 bands"):
        read_scenes(folder)
    np.savez(folder / "scene_0.npz", mask=numbers)
    with pytest.raises(UsageError, match=r"scene_0\.npz"):
        read_scenes(folder)
    (folder / "scene_0.npz").write_bytes(b"not an archive")
    with pytest.raises(UsageError, match=r"scene_0\.npz"):
        read_scenes(folder)


def test_a_table_beside_the_images_gives_their_offset(tmp_path: Path) -> None:
    plain = read_scenes(_write_images(tmp_path / "plain", count=4))
    folder = _write_images(tmp_path / "offset", count=4, offset=-1000)
    (folder / "sources.toml").write_text(
        '[[source]]\nfiles = "*.npz"\nlevel = "l1c"\noffset = -1000\n'
    )
    for one, other in zip(plain, read_scenes(folder), strict=True):
        np.testing.assert_allclose(one.bands, other.bands, atol=1e-6)


def test_the_command_says_what_is_missing_before_it_works(
    released: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["compile", str(released), str(tmp_path / "tiny-1.1")]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "--recalibrate" in capsys.readouterr().err
    key = tmp_path / "absent.release_key_secret"
    monkeypatch.setattr(sys, "argv", [*command, "--recalibrate", str(tmp_path), "--key", str(key)])
    with pytest.raises(UsageError, match="cannot be read as a private key"):
        main()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not os.environ.get("FLIGHTSW_LONG_TESTS"), reason="quantises the real network")
def test_the_shipped_package_is_recalibrated_and_signed_by_the_command(tmp_path: Path) -> None:
    shipped = load_package()
    folder = _write_images(tmp_path / "scenes")
    generate(tmp_path / "releases")
    out = tmp_path / f"{shipped.name}-99.0"
    done = run_command(
        "deploy.model.compile",
        [
            str(shipped.folder), str(out), "--recalibrate", str(folder), "--windows", "2",
            "--ranges", "percentile", "--key", str(tmp_path / "releases.release_key_secret"),
        ],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert signer(out, tmp_path) == "releases"
    package = load_package(out)
    assert package.network
    assert shipped.network
    assert package.network.read_bytes() == shipped.network.read_bytes()
