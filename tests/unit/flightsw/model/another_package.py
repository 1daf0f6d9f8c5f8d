"""Other model packages, made from the one that ships."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from deploy.model.packaging import checksum_lines
from flightsw.host.disk import sha256
from flightsw.model.package import load_package


def another_package(folder: Path, version: str = "9.9", shipped: Path | None = None) -> str:
    """Copy a package (the one that ships) under another version; SHA-256 of its checksums."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(shipped or load_package(None).folder, folder)
    description = json.loads((folder / "package.json").read_text())
    (folder / "package.json").write_text(json.dumps({**description, "version": version}))
    return released(folder)


def released(folder: Path) -> str:
    """Write the checksums again; their SHA-256."""
    sums = folder / "SHA256SUMS"
    sums.write_text(checksum_lines(folder))
    return sha256(sums)
