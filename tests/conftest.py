"""Fixtures that every test may use: real data where it is there, one simulated scene."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from deploy.faults.small_package import write_small_package
from deploy.model.packaging import checksum_lines
from deploy.rig.forked import Module, run_forked
from flightsw.model.package import shipped_package

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_configure() -> None:
    """No example has a deadline, as machines that run tests are shared; commands hear SIGINT."""
    hypothesis.settings.register_profile("flightsw", deadline=None)
    hypothesis.settings.load_profile("flightsw")
    # A shell starts jobs in the background with SIGINT ignored, which child processes inherit.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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


def run_command(module: Module, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a console command in a process of its own, as ``python -m`` does."""
    return run_forked(module, arguments, timeout_s=300)


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    """A scene of 600 x 600 pixels: three by three tiles; made once for all workers of a run."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "simulated"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        record = folder.with_suffix(".json")
        if not record.exists():
            options = ["scene", str(folder), "--size", "600", "--seed", "5", "--json"]
            done = run_command("telecommands.groundsim", options)
            assert done.returncode == 0, done.stderr
            record.write_text(done.stdout)
    paths = json.loads(record.read_text())
    return Simulated(Path(paths["scene"]), Path(paths["truth"]))


@pytest.fixture(scope="session")
def small_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model package of one layer: for tests whose subject is not what the shipped model finds."""
    return write_small_package(tmp_path_factory.mktemp("small") / "package")


@pytest.fixture(scope="session")
def light_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that ships, with three of its golden tiles: they are run after every scene."""
    folder = tmp_path_factory.mktemp("light") / "package"
    shutil.copytree(shipped_package(), folder)
    with np.load(folder / "golden.npz") as arrays:
        golden = dict(arrays)
    for name in ("tiles", "logits", "floating_logits", "names"):
        golden[name] = golden[name][5::3]  # ridges, cloud over water, cloud at a scene's edge
    np.savez_compressed(folder / "golden.npz", **golden)
    (folder / "SHA256SUMS").write_text(checksum_lines(folder))
    return folder
