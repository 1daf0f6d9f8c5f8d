"""``flightsw model`` as an operator runs it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from flightsw.model.package import shipped_package
from tests.conftest import run_command


def test_the_package_that_would_be_active_is_verified_and_described() -> None:
    done = run_command("flightsw", ["model", "--json"])
    assert done.returncode == 0, done.stderr
    described = json.loads(done.stdout)
    assert described["folder"] == str(shipped_package())
    assert described["id"].startswith(f"{described['name']}-{described['version']}")
    assert described["bands"] == ["B02", "B03", "B04", "B08"]
    assert all(source["licence"] for source in described["training_data"])
    said = run_command("flightsw", ["model", str(shipped_package())]).stdout
    assert said.startswith(f"{described['id']}, intact in ")
    assert "made for     L1C, L2A at 10, 20, 30, 40 m" in said


def test_a_package_that_was_changed_is_refused(tmp_path: Path) -> None:
    package = shutil.copytree(shipped_package(), tmp_path / "package")
    with (package / "package.json").open("a") as file:
        file.write(" ")
    done = run_command("flightsw", ["model", str(package)])
    assert done.returncode == 4
    assert "package.json" in done.stderr
    assert done.stdout == ""
