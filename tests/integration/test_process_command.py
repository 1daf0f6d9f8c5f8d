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

from deploy.rig.flight_unit import wait_until
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
def processed(simulated: Simulated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("products")
    _process(simulated.scene, out, "--products", "mask,geotiff,fill,quicklook,stac,report")
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
    simulated: Simulated, processed: Path, tmp_path: Path
) -> None:
    _process(simulated.scene, tmp_path, "--arrangement", "batch")
    np.testing.assert_array_equal(_mask(tmp_path), _mask(processed))


def test_the_twins_timing_changes_no_pixel(
    simulated: Simulated, processed: Path, tmp_path: Path
) -> None:
    record = _process(simulated.scene, tmp_path, "--twin")
    np.testing.assert_array_equal(_mask(tmp_path), _mask(processed))
    assert record["summary"]["energy_joules"] > 0


def test_a_scene_at_20_m_has_half_the_sides(simulated: Simulated, tmp_path: Path) -> None:
    record = _process(simulated.scene, tmp_path, "--ground-sample-distance", "20")
    assert record["ground_sample_distance"] == 20
    assert _mask(tmp_path).shape == (450, 450)


def test_blending_is_chosen_on_the_command_line(
    simulated: Simulated, processed: Path, tmp_path: Path
) -> None:
    record = _process(simulated.scene, tmp_path, "--fusion", "blend")
    assert record["summary"]["fusion"] == "blend"
    blended, either = _mask(tmp_path) == 1, _mask(processed) == 1
    assert not (blended & ~either).any()
    assert 0.98 < np.mean(blended == either) < 1


def test_an_l1c_product_without_offsets_is_processed(tmp_path: Path) -> None:
    options = ["scene", str(tmp_path), "--size", "450", "--level", "L1C", "--baseline", "02.14"]
    done = run_command("telecommands.groundsim", [*options, "--json"])
    assert done.returncode == 0, done.stderr
    record = _process(Path(json.loads(done.stdout)["scene"]), tmp_path / "products")
    assert record["summary"]["valid_pixels"] > 0


def test_without_json_a_reader_sees_fraction_and_files(
    simulated: Simulated, tmp_path: Path
) -> None:
    done = run_command("flightsw", ["process", str(simulated.scene), "-o", str(tmp_path)])
    assert done.returncode == 0
    assert "% contaminated of" in done.stdout
    assert str(next(tmp_path.glob("*_cloud_mask.npy"))) in done.stdout
    assert done.stderr == ""


def _start(scene: Path, out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "flightsw", "process", str(scene), "-o", str(out)],
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


def test_on_a_terminal_a_bar_counts_up_to_the_scenes_rows(
    simulated: Simulated, tmp_path: Path
) -> None:
    command = ["process", str(simulated.scene), "-o", str(tmp_path / "out")]
    bars = re.findall(r"(\d+)/(\d+) \[", _shown_on_a_terminal(command))
    counts = [int(done) for done, _ in bars]
    assert counts == sorted(counts)
    assert len(set(counts)) > 2
    assert counts[-1] == 900
    assert {height for _, height in bars} == {"900"}


def test_a_terminal_that_wants_quiet_shows_no_bar(simulated: Simulated, tmp_path: Path) -> None:
    command = ["process", str(simulated.scene), "-o", str(tmp_path / "out"), "--quiet"]
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
