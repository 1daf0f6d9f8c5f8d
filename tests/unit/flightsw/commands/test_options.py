from __future__ import annotations

from pathlib import Path

import pytest

from flightsw.cli import main
from flightsw.errors import UsageError
from flightsw.library import load_settings


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    file = tmp_path / "laboratory.toml"
    file.write_text('[dimc]\ncard = "simulator"\n[dimc.faults]\nspike = 1.0\nspike_ms = 1.0\n')
    return file


def test_faults_are_refused_outside_a_laboratory(
    settings: Path, small_package: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["selftest", "--engine", "dimc", "--settings", str(settings)]
    command += ["--model", str(small_package)]
    assert main(command) == 2
    assert "dimc.faults" in capfd.readouterr().err
    assert main([*command, "--laboratory"]) == 0
    with pytest.raises(UsageError, match=r"dimc\.faults"):
        load_settings(settings)
