"""Reads systemd's unit files, and folders in which an installation can be tried."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
UNITS: Final = ROOT / "systemd"
INSTALL: Final = ROOT / "deploy" / "jetson" / "install.sh"
LOCK: Final = INSTALL.with_name("requirements.txt")
UNINSTALL: Final = ROOT / "deploy" / "jetson" / "uninstall.sh"


def read_unit(path: Path) -> dict[str, list[str]]:
    """Every setting with its values in the order of the file, whatever the section."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        key, separator, value = line.partition("=")
        if separator and not line.startswith(("#", ";")):
            found.setdefault(key, []).append(value)
    return found


def run_script(script: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(script), *map(str, options)], capture_output=True, text=True, timeout=300, check=False
    )


def install_below(folder: Path, *options: str) -> None:
    done = run_script(INSTALL, "--root", folder, "--keep-environment", *options)
    assert done.returncode == 0, done.stderr
