"""``flightsw bench`` as a user runs it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy.rig.flight_unit import wait_until
from flightsw.bench.results import BenchResult
from tests.conftest import Simulated, run_command

_SMALL = ("--tiles", "12", "--warm-up", "4")


@pytest.fixture
def without_torch(tmp_path: Path, small_package: Path) -> Path:
    """Settings with which torch-cpu is absent on every machine."""
    settings = tmp_path / "settings.toml"
    absent = tmp_path / "absent.pt"
    settings.write_text(f'model = "{small_package}"\n[torch]\ntorchscript = "{absent}"\n')
    return settings


def _read(out: Path) -> BenchResult:
    return msgspec.json.decode((out / "bench.json").read_bytes(), type=BenchResult)


def test_a_real_scene_gives_tables_json_and_picture(
    simulated: Simulated, light_package: Path, tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "out"
    done = run_command(
        "flightsw",
        [
            "bench",
            "--engines",
            "dimc",
            *_SMALL,
            "--model",
            str(light_package),
            "--scene",
            str(simulated.scene),
            "--truth",
            str(simulated.truth),
            "-o",
            str(out),
        ],
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert (out / "bench.md").read_text() == done.stdout
    result = _read(out)
    assert not result.partial
    assert {path.name for path in out.iterdir()} == {"bench.json", "bench.md", "bench.png"}
    card, *twins = result.engines
    assert card.figures["f2"] > 0.8
    assert card.figures["total"] > 0
    assert not any("f2" in twin.figures for twin in twins)
    assert all("total" in twin.figures for twin in twins)


def test_an_absent_engine_says_why_and_the_others_are_measured(
    tmp_path: Path, without_torch: Path
) -> None:
    out = tmp_path / "out"
    done = run_command(
        "flightsw",
        [
            "bench",
            "--engines",
            "torch-cpu",
            *_SMALL,
            "--settings",
            str(without_torch),
            "-o",
            str(out),
            "--json",
        ],
    )
    assert done.returncode == 5
    result: dict[str, Any] = json.loads(done.stdout)
    row = result["engines"][0]
    assert "absent.pt" in row["absent"]
    assert len(row["absent"].splitlines()) == 1
    assert not result["partial"]


def test_what_cannot_be_measured_is_refused_immediately(tmp_path: Path) -> None:
    for options, said in (
        (["--truth", "mask.npy"], "--truth needs a scene on disk"),
        (["--engines", "abacus"], "--engines must name engines of"),
        (["--tiles", "0"], "--tiles must be between 1 and 1,000,000, got 0"),
    ):
        done = run_command("flightsw", ["bench", "-o", str(tmp_path / "out"), *options])
        assert done.returncode == 2
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_what_was_measured_marked_as_partial(
    tmp_path: Path, without_torch: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    # The soak never ends by itself.
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "flightsw",
            "bench",
            "--engines",
            "torch-cpu,dimc",
            *_SMALL,
            "--soak-seconds",
            "100000",
            "--settings",
            str(without_torch),
            "-o",
            str(out),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: process.poll() is not None or _measured(out), 120)
    process.send_signal(number)
    printed, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert printed == ""
    assert said.startswith("flightsw: the benchmark was stopped. See the rows measured until then")
    assert len(said.splitlines()) == 1
    result = _read(out)
    assert result.partial
    assert [row.title for row in result.engines] == ["torch-cpu"]
    markdown = (out / "bench.md").read_text()
    assert markdown.splitlines()[2].startswith("**PARTIAL")
    assert "| twin, spatial |  | not measured yet |" in markdown


def _measured(out: Path) -> bool:
    return (out / "bench.json").exists() and bool(_read(out).engines)
