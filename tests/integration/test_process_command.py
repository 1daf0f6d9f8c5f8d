"""``flightsw process`` as a user runs it: a product on disk in, products and an exit status out."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform

from deploy.rig.flight_unit import wait_until
from flightsw.host.processor import sums_int8_products_exactly
from tests.conftest import Simulated, run_command


def _process(scene: Path, out: Path, *options: str) -> dict[str, Any]:
    done = run_command("flightsw", ["process", str(scene), "-o", str(out), "--json", *options])
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _mask(out: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    mask: np.ndarray[Any, np.dtype[np.uint8]] = np.load(next(out.glob("*_cloud_mask.npy")))
    return mask


@pytest.fixture(scope="session")
def processed(
    simulated: Simulated, light_package: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("products")
    kinds = ("--products", "mask,geotiff,fill,quicklook,stac,report")
    _process(simulated.scene, out, *kinds, "--model", str(light_package))
    return out


def test_the_mask_matches_the_simulated_truth(simulated: Simulated, processed: Path) -> None:
    mask = next(processed.glob("*_cloud_mask.npy"))
    done = run_command(
        "telecommands.groundsim", ["score", str(mask), str(simulated.truth), "--json"]
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["agreement"] >= 0.85
    assert record["f2"] >= 0.85


def test_every_file_has_the_sha256_of_the_report(processed: Path) -> None:
    report = json.loads(next(processed.glob("*_report.json")).read_text())
    others = {path.name for path in processed.iterdir()} - {
        path.name for path in processed.glob("*_report.json")
    }
    assert {file["name"] for file in report["files"]} == others
    for file in report["files"]:
        content = (processed / file["name"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file["sha256"]
        assert len(content) == file["bytes"]


def test_the_geotiff_says_the_same_as_the_array(processed: Path) -> None:
    mask = _mask(processed)
    with rasterio.open(next(processed.glob("*.tif"))) as tiff:
        band, valid = tiff.read(1), tiff.read_masks(1) > 0
        assert tiff.crs is not None
    np.testing.assert_array_equal(valid, mask != 255)
    np.testing.assert_array_equal(band[valid], mask[valid])


def test_four_tiles_at_a_time_give_the_same_bytes_as_one(
    simulated: Simulated, processed: Path, light_package: Path, tmp_path: Path
) -> None:
    options = ("--arrangement", "batch", "--model", str(light_package))
    _process(simulated.scene, tmp_path, *options)
    same = (_mask(tmp_path) == _mask(processed)).mean()
    # Float32 (docs/decisions/0053) adds in another order for a batch than for one tile.
    assert same >= (1.0 if sums_int8_products_exactly() else 0.999)


def test_the_twins_timing_changes_no_pixel(
    simulated: Simulated, small_package: Path, tmp_path: Path
) -> None:
    model = ("--model", str(small_package))
    _process(simulated.scene, tmp_path / "untimed", *model)
    record = _process(simulated.scene, tmp_path / "timed", *model, "--twin")
    np.testing.assert_array_equal(_mask(tmp_path / "timed"), _mask(tmp_path / "untimed"))
    assert record["summary"]["energy_joules"] > 0


def test_a_scene_at_20_m_has_half_the_sides(
    simulated: Simulated, small_package: Path, tmp_path: Path
) -> None:
    options = ("--ground-sample-distance", "20", "--model", str(small_package))
    record = _process(simulated.scene, tmp_path, *options)
    assert record["ground_sample_distance"] == 20
    assert _mask(tmp_path).shape == (300, 300)


def test_blending_is_chosen_on_the_command_line(
    simulated: Simulated, processed: Path, light_package: Path, tmp_path: Path
) -> None:
    options = ("--fusion", "blend", "--model", str(light_package))
    record = _process(simulated.scene, tmp_path, *options)
    assert record["summary"]["fusion"] == "blend"
    blended, either = _mask(tmp_path) == 1, _mask(processed) == 1
    assert not (blended & ~either).any()
    assert 0.98 < np.mean(blended == either) < 1


def test_an_l1c_product_without_offsets_is_processed(small_package: Path, tmp_path: Path) -> None:
    options = ["scene", str(tmp_path), "--size", "200", "--level", "L1C", "--baseline", "02.14"]
    done = run_command("telecommands.groundsim", [*options, "--json"])
    assert done.returncode == 0, done.stderr
    scene, model = Path(json.loads(done.stdout)["scene"]), ("--model", str(small_package))
    record = _process(scene, tmp_path / "products", *model)
    assert record["summary"]["valid_pixels"] > 0


def test_without_json_a_reader_sees_fraction_and_files(
    simulated: Simulated, small_package: Path, tmp_path: Path
) -> None:
    options = ["-o", str(tmp_path), "--model", str(small_package)]
    done = run_command("flightsw", ["process", str(simulated.scene), *options])
    assert done.returncode == 0
    assert "% contaminated of" in done.stdout
    assert str(next(tmp_path.glob("*_cloud_mask.npy"))) in done.stdout
    assert done.stderr == ""


def test_several_scenes_are_counted_and_one_that_fails_stops_no_other(
    simulated: Simulated, small_package: Path, tmp_path: Path
) -> None:
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    (scenes / "a.SAFE").mkdir()
    (scenes / "b.SAFE").symlink_to(simulated.scene)
    (scenes / "c.SAFE").symlink_to(simulated.scene)
    out = tmp_path / "out"
    pattern = str(scenes / "[a-c].SAFE")
    options = ["-o", str(out), "--products", "mask", "--model", str(small_package)]
    done = run_command("flightsw", ["process", pattern, *options])
    assert done.returncode == 11
    assert "a.SAFE is not a known kind of product" in done.stderr
    assert "2 processed, 1 failed" in done.stdout
    assert len(list(out.glob("*/*_cloud_mask.npy"))) == 2


def _start(scene: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "flightsw", "process", str(scene), "-o", str(out), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _shown_on_a_terminal(arguments: list[str]) -> str:
    """What a command writes to standard error if that is a terminal."""
    terminal, end = pty.openpty()
    with os.fdopen(terminal, "rb", buffering=0) as shown:
        with os.fdopen(end, "wb", buffering=0) as error:
            fcntl.ioctl(error, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
            process = subprocess.Popen(
                [sys.executable, "-m", "flightsw", *arguments],
                stdout=subprocess.DEVNULL,
                stderr=error,
                env=os.environ | {"TQDM_MININTERVAL": "0", "TQDM_MINITERS": "1"},
            )
        output = bytearray()
        with contextlib.suppress(OSError):  # Linux raises it when the other end is closed
            while part := shown.read(4096):
                output += part
        assert process.wait(timeout=60) == 0, output
    return output.decode()


def test_on_a_terminal_a_bar_counts_up_to_the_scenes_tiles(
    simulated: Simulated, small_package: Path, tmp_path: Path
) -> None:
    model = ["--model", str(small_package)]
    command = ["process", str(simulated.scene), "-o", str(tmp_path / "out"), *model]
    shown = _shown_on_a_terminal(command)
    assert "loading the model" in shown
    bars = re.findall(r"(\d+)/(\d+) \[", shown)
    counts = [int(done) for done, _ in bars]
    assert counts == sorted(counts)
    assert len(set(counts)) > 2
    assert counts[-1] == 9
    assert {tiles for _, tiles in bars} == {"9"}


def test_a_terminal_that_wants_quiet_shows_no_bar(
    simulated: Simulated, small_package: Path, tmp_path: Path
) -> None:
    options = ["-o", str(tmp_path / "out"), "--quiet", "--model", str(small_package)]
    command = ["process", str(simulated.scene), *options]
    assert _shown_on_a_terminal(command) == ""


def test_an_interrupt_while_the_program_loads_is_reported_in_one_line(
    simulated: Simulated, tmp_path: Path
) -> None:
    process = _start(simulated.scene, tmp_path)
    maps = Path(f"/proc/{process.pid}/maps")
    wait_until(lambda: "cv2.abi3" in maps.read_text() or process.poll() is not None, 120)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert said.splitlines() == [
        "flightsw: the command was stopped by SIGINT. Run it again: nothing is left half-written"
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wait_milliseconds", [1, 150, 400, 900])
def test_an_interrupt_at_any_moment_leaves_nothing(
    simulated: Simulated, tmp_path: Path, wait_milliseconds: int
) -> None:
    out = tmp_path / "products"
    out.mkdir()
    process = _start(simulated.scene, out)
    # The products have begun to grow.
    wait_until(lambda: any(out.iterdir()) or process.poll() is not None, 120)
    try:
        process.wait(wait_milliseconds / 1000)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    if list(out.glob("*_report.json")):  # the scene was done before the interrupt
        assert sorted(path.name.rpartition("axelera_")[2] for path in out.iterdir()) == [
            "cloud_mask.npy",
            "cloud_mask_cog.tif",
            "report.json",
        ]
    else:
        assert process.returncode == 130
        assert "was stopped by SIGINT" in said
        assert "Traceback" not in said
        assert list(out.iterdir()) == []


def test_the_self_test_passes_on_the_shipped_package() -> None:
    done = run_command("flightsw", ["selftest", "--json"])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["passed"] is True


def _in_degrees(report: dict[str, Any], *pixels: tuple[float, float]) -> list[list[float]]:
    """Longitude and latitude of (column, row)."""
    a, _, left, _, e, top = report["scene"]["transform"]
    x, y = np.array(pixels).T
    degrees = transform(report["scene"]["crs"], "EPSG:4326", left + a * x, top + e * y)
    return [list(position) for position in zip(*degrees, strict=True)]


def _report(out: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(next(out.glob("*_report.json")).read_text())
    return report


def test_an_area_has_the_mask_of_the_whole_scene_and_products_on_its_own_grid(
    simulated: Simulated, processed: Path, light_package: Path, tmp_path: Path
) -> None:
    whole = _report(processed)
    ring = _in_degrees(whole, (300.5, 400.5), (420.5, 400.5), (420.5, 520.5), (300.5, 400.5))
    area = tmp_path / "field.geojson"
    area.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    kinds = ("--products", "mask,geotiff,cog,fill,quicklook,stac,report")
    model = ("--model", str(light_package))
    _process(simulated.scene, tmp_path / "a", "--area", str(area), *kinds, *model)
    mask, report = _mask(tmp_path / "a"), _report(tmp_path / "a")
    assert mask.shape == (121, 121)
    expected = _mask(processed)[400:521, 300:421]
    inside = mask != 255
    assert 0.45 < inside.mean() < 0.55
    np.testing.assert_array_equal(mask[inside], expected[inside])
    assert (report["scene"]["cut"]["top"], report["scene"]["cut"]["left"]) == (400, 300)
    assert report["scene"]["cut"]["geometry"]["coordinates"] == [ring]
    assert report["summary"]["tiles"] < 9
    with rasterio.open(next((tmp_path / "a").glob("*_cog.tif"))) as tiff:
        a, _, left, _, e, top = whole["scene"]["transform"]
        assert tuple(tiff.transform)[:6] == (a, 0, left + 300 * a, 0, e, top + 400 * e)
        np.testing.assert_array_equal(tiff.read(1), mask)
    item = json.loads(next((tmp_path / "a").glob("*_stac.json")).read_text())
    west, south, east, north = item["bbox"]
    longitudes, latitudes = zip(*ring, strict=True)
    assert (west, east) == pytest.approx((min(longitudes), max(longitudes)), abs=2e-4)
    assert (south, north) == pytest.approx((min(latitudes), max(latitudes)), abs=2e-4)
    assert item["properties"]["flightsw:area"]["coordinates"] == [ring]


def test_bounds_with_a_minus_are_bounds_and_lie_beside_the_whole_scene(
    simulated: Simulated, processed: Path, small_package: Path, tmp_path: Path
) -> None:
    model = ("--model", str(small_package))
    _process(simulated.scene, tmp_path, *model)
    (west, north), (east, south) = _in_degrees(_report(processed), (100.5, 200.5), (180.5, 250.5))
    bounds = f"-{360 - west},{south},-{360 - east},{north}"  # the same longitudes, a turn less
    record = _process(simulated.scene, tmp_path, "--bounds", bounds, *model)
    assert re.fullmatch(r"\S+_area-[0-9a-f]{8}", record["scene"])
    masks = [np.load(path) for path in tmp_path.glob("*_cloud_mask.npy")]
    assert sorted(mask.size for mask in masks)[1] == 360_000
    assert sorted(mask.size for mask in masks)[0] < 90 * 70
    assert (min(masks, key=np.size) != 255).all()


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--bounds", "-9,53,-8,54"], 3, "lies outside"),
        (["--bounds", "42.3,11.5,42.4,11.6"], 3, "Give longitude before latitude"),
        (["--bounds", "11,42"], 2, "is not four numbers"),
        (["--bounds", "here"], 2, "is not WEST,SOUTH,EAST,NORTH in degrees"),
        (["--area", "nowhere.geojson"], 2, "nowhere.geojson cannot be read"),
        (["--area", "point"], 2, "is not GeoJSON of polygons"),
        (["--area", "point", "--bounds", "11,42,12,43"], 2, "not allowed with argument"),
    ],
)
def test_a_wrong_area_is_refused_with_its_cure_and_nothing_is_written(
    simulated: Simulated, tmp_path: Path, options: list[str], status: int, said: str
) -> None:
    point = tmp_path / "point.geojson"
    point.write_text('{"type": "Point", "coordinates": [11, 42]}')
    options = [str(point) if one == "point" else one for one in options]
    out = tmp_path / "out"
    done = run_command("flightsw", ["process", str(simulated.scene), "-o", str(out), *options])
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert not out.exists()
