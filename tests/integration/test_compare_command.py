"""``flightsw compare`` as a user runs it: two masks in, figures, a map and an exit status out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rasterio

from flightsw.cli import main
from tests.conftest import Simulated, run_command
from tests.unit.flightsw.products.conftest import Simulated as Products
from tests.unit.flightsw.products.conftest import simulated_scene


@pytest.fixture(scope="module")
def scene() -> Products:
    """A cloud of 30 by 30 pixels in a clear scene, a margin of it without data."""
    mask = np.zeros((120, 90), np.uint8)
    mask[40:70, 30:60] = 1
    mask[:10] = 255
    return simulated_scene(120, 90).with_mask(mask)


@pytest.fixture(scope="module")
def other(scene: Products) -> Products:
    """The same, its cloud a row shorter, with a false alarm 12 columns from it."""
    mask = scene.mask.copy()
    mask[69] = 0
    mask[50, 71] = 1
    return scene.with_mask(mask)


@pytest.fixture
def folders(scene: Products, other: Products, tmp_path: Path) -> tuple[Path, Path]:
    scene.publish(tmp_path / "a", "mask", "geotiff", "report")
    other.publish(tmp_path / "b", "geotiff", "report")
    return tmp_path / "a", tmp_path / "b"


def _compare(
    capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 0
) -> dict[str, Any]:
    assert main(["compare", *map(str, arguments), "--json"]) == status
    record: dict[str, Any] = json.loads(capsys.readouterr().out)
    return record


def _refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    status = main(["compare", *map(str, arguments)])
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return status, said.err


def test_two_product_folders_are_compared(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str], scene: Products
) -> None:
    found = _compare(capsys, *folders)
    assert found["pixels"] == 110 * 90
    assert (found["only_a"], found["only_b"]) == (30, 1)
    assert found["agreement"] == pytest.approx(1 - 31 / 9900)
    assert found["recall"] == pytest.approx(870 / 900)
    assert found["precision"] == pytest.approx(870 / 871)
    assert found["distances"]["median"] == 0
    assert found["distances"]["maximum"] == 11  # clear pixels beside the cloud are edge, too
    assert found["distances"]["within"]["8"] == pytest.approx(30 / 31)
    assert found["a"]["scene"] == scene.metadata.name
    assert found["b"]["engine"] == "dimc int8"
    assert found["remarks"] == []
    assert found["map"] is None


def test_array_and_geotiff_of_one_mask_agree_wholly(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    found = _compare(capsys, next(folders[0].glob("*.npy")), next(folders[0].glob("*.tif")))
    assert found["agreement"] == 1
    assert found["distances"] is None
    assert found["valid_only_in_a"] == found["valid_only_in_b"] == 0


def test_a_reader_sees_the_figures_in_aligned_lines(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *map(str, folders)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("A  ")
    assert lines[0].endswith("dimc int8")
    assert "  agreement        99.6869% of 9,900 pixels valid in both" in lines
    assert "  A clear                   8,999               1" in lines
    assert "  A contaminated               30             870" in lines
    assert "  31 disagreeing pixels, from the nearest cloud edge of A:" in lines
    assert "    P95, max       0.00 px, 11.00 px" in lines


@pytest.mark.parametrize(("least", "status"), [("0.99", 0), ("0.999", 1)])
def test_too_little_agreement_sets_the_exit_status(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str], least: str, status: int
) -> None:
    found = _compare(capsys, *folders, "--least-agreement", least, status=status)
    assert found["pixels"] == 9900


def test_the_map_is_a_picture_or_a_geotiff_on_the_place_of_a(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, geotiff = tmp_path / "map.png", tmp_path / "map.tif"
    assert _compare(capsys, *folders, "-o", picture)["map"] == str(picture)
    assert cv2.imread(str(picture)).shape == (120, 90, 3)
    _compare(capsys, *folders, "-o", geotiff)
    with (
        rasterio.open(geotiff) as drawn,
        rasterio.open(next(folders[0].glob("*.tif"))) as reference,
    ):
        assert drawn.crs == reference.crs
        assert drawn.transform == reference.transform
        assert np.count_nonzero(drawn.read(1) == 2) == 30
        assert drawn.read(1)[50, 71] == 1


def test_masks_of_different_scenes_are_compared_with_a_remark(
    folders: tuple[Path, Path],
    scene: Products,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scene.with_metadata(name="S2B_another").publish(tmp_path / "c", "mask", "report")
    remarks = _compare(capsys, folders[0], tmp_path / "c")["remarks"]
    assert remarks == [f"A is of the scene {scene.metadata.name}, B of S2B_another"]


def test_a_reference_without_any_edge_is_a_remark(
    folders: tuple[Path, Path],
    scene: Products,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.save(tmp_path / "clear.npy", np.zeros_like(scene.mask))
    found = _compare(capsys, tmp_path / "clear.npy", folders[1])
    assert found["distances"] is None
    assert found["remarks"] == ["A has no cloud edge, so there are no distances from it"]


def test_bad_input_is_one_line_and_writes_no_map(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = folders
    empty, small, seven, nothing = (
        tmp_path / name for name in ("empty", "s.npy", "7.npy", "n.npy")
    )
    empty.mkdir()
    np.save(small, np.zeros((60, 45), np.uint8))
    np.save(seven, np.full((120, 90), 7, np.uint8))
    np.save(nothing, np.full((120, 90), 255, np.uint8))
    drawn = ("-o", tmp_path / "map.png")
    for arguments, status, cause in (
        ((a, small, *drawn), 2, "A has 120 x 90 pixels, B 60 x 45"),
        ((a, seven, *drawn), 6, "is not a mask: it holds the value 7"),
        ((a, nothing, *drawn), 6, "no pixel that is valid in both"),
        ((a, empty, *drawn), 2, "holds no cloud mask"),
        ((tmp_path / "none", b, *drawn), 2, "does not exist"),
        ((a, b, "-o", tmp_path / "map.jpg"), 2, "neither .png nor .tif"),
        ((a, b, "-o", tmp_path / "none" / "map.png"), 6, "none is not a folder"),
        ((a, b, "-o", next(b.glob("*.tif"))), 2, "is one of the masks"),
        (
            (a, b, "--least-agreement", "99"),
            2,
            "must be between 0 and 1, got 99.0",
        ),
    ):
        found, line = _refusal(capsys, *arguments)
        assert (found, cause in line) == (status, True), line
    assert not (tmp_path / "map.png").exists()


def test_a_processed_scene_is_compared_with_its_simulated_truth(
    simulated: Simulated, small_package: Path, tmp_path: Path
) -> None:
    out = tmp_path / "products"
    options = ["-o", str(out), "--model", str(small_package)]
    done = run_command("flightsw", ["process", str(simulated.scene), *options])
    assert done.returncode == 0, done.stderr
    done = run_command("flightsw", ["compare", str(simulated.truth), str(out), "--json"])
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    mask = next(out.glob("*_cloud_mask.npy"))
    scored = run_command(
        "telecommands.groundsim", ["score", str(mask), str(simulated.truth), "--json"]
    )
    score = json.loads(scored.stdout)
    for figure in ("agreement", "precision", "recall", "f2", "iou", "pixels"):
        assert found[figure] == pytest.approx(score[figure])
