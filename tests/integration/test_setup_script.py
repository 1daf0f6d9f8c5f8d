"""``deploy/setup.sh`` on a machine without OpenJPEG, with no tool at hand to change it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.unit_files import ROOT

_PYTHON = """#!/bin/sh
[ "$1" = -c ] || exit 9
case "$2" in *openjp2*) exit 1 ;; esac
exec "{python}" "$@"
"""
"""Answers questions as a supported Python would that finds no OpenJPEG, and installs nothing."""


def _stub(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(script)
    (folder / name).chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("bash", "dirname"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    _stub(folder, "python3", _PYTHON.format(python=sys.executable))
    return folder


def _set_up(tools: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(tools / "bash"), str(ROOT / "deploy" / "setup.sh"), str(tools.parent / "venv")],
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_without_openjpeg_and_apt_the_set_up_says_what_to_install(
    tools: Path, tmp_path: Path
) -> None:
    done = _set_up(tools)
    assert done.returncode == 1
    assert done.stderr == (
        "setup: libopenjp2-7 is missing (OpenJPEG, the JPEG 2000 decoder) "
        "and there is no apt-get; install it by hand\n"
    )
    assert not (tmp_path / "venv").exists()


def test_where_apt_may_not_be_used_the_set_up_gives_the_command_that_cures_it(
    tools: Path, tmp_path: Path
) -> None:
    _stub(tools, "apt-get", "#!/bin/sh\nexit 100\n")
    _stub(tools, "id", "#!/bin/sh\necho 1000\n")
    done = _set_up(tools)
    assert done.returncode == 1
    assert done.stderr.endswith("run: sudo apt-get install libopenjp2-7\n")
    assert not (tmp_path / "venv").exists()
