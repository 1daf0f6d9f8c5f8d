"""What the units of a campaign share: a small scene, and two model packages of one layer."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.faults.small_package import write_small_package
from deploy.rig.flight_unit import FlightUnit
from flightsw.model.package import load_package


class Laboratory:
    """Made once, in a ``folder`` that exists."""

    def __init__(self, folder: Path) -> None:
        self.package = write_small_package(folder / "package")
        self.other = write_small_package(folder / "other", version="1.1")
        command = [sys.executable, "-m", "telecommands.groundsim", "scene", str(folder)]
        made = subprocess.run(
            [*command, "--size", "240", "--seed", "5", "--json"],
            check=True, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        self.scene = Path(json.loads(made.stdout)["scene"])

    def equip(self, unit: FlightUnit) -> None:
        """The unit uses the small package, and has the other one in its inbox."""
        if "model =" not in unit.settings.read_text():
            unit.use_package(self.package)
        shutil.copytree(self.other, unit.state / "model_inbox" / self.other.name)
        unit.add_scene(self.scene)

    def model(self) -> dict[str, str]:
        """The package in the inbox, as telecommands name it."""
        sums = (self.other / "SHA256SUMS").read_bytes()
        return {
            "package": self.other.name,
            "model": load_package(self.other).model_id,
            "sha256": hashlib.sha256(sums).hexdigest(),
        }
