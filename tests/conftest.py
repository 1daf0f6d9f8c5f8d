"""Fixtures that every test may use: real data where it is there, one simulated scene."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_configure() -> None:
    """No example has a deadline: machines that run tests are shared."""
    hypothesis.settings.register_profile("flightsw", deadline=None)
    hypothesis.settings.load_profile("flightsw")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real Sentinel-2 data beside the project; skips the test where it is absent."""
    if not _SHARED_DATA.is_dir():
        pytest.skip("real Sentinel-2 data (../shared/data) is not beside the project")
    return _SHARED_DATA


@dataclass(frozen=True)
class Simulated:
    """A simulated product and its true mask."""

    scene: Path
    truth: Path


def run_command(module: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a console command as a user would, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    """A scene of 900 x 900 pixels: five by five tiles, the last ones mostly padding."""
    folder = tmp_path_factory.mktemp("simulated")
    done = run_command(
        "telecommands.groundsim", ["scene", str(folder), "--size", "900", "--seed", "5", "--json"]
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    return Simulated(Path(told["scene"]), Path(told["truth"]))
