"""A checkout that installs quickly: a lock of one distribution, and a flightsw that prints."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

from tests.integration.unit_files import INSTALL, UNITS, run_script


def make_wheel(folder: Path, name: str, version: str, script: str = "", requires: str = "") -> Path:
    """A wheel of one empty module, with a command of its name if ``script`` is its code."""
    info = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    with ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", f"def main():\n    {script or 'pass'}\n")
        wheel.writestr(
            f"{info}/METADATA", f"{metadata}Requires-Dist: {requires}\n" if requires else metadata
        )
        tag = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{info}/WHEEL", tag)
        if script:
            wheel.writestr(f"{info}/entry_points.txt", f"[console_scripts]\n{name} = {name}:main\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


_PYTHON = """#!/bin/sh
[ "$1 $2" = "-m venv" ] || exec "{python}" "$@"
"{python}" -m venv --without-pip "$3"
ln -s "{pip}" "$(echo "$3"/lib/python*/site-packages)/pip"
"""
"""Makes an environment with the pip of this one, which is quicker than to install it."""


@dataclass(frozen=True)
class Unit:
    """The disk of a flight unit below ``root``, and a wheelhouse to install from."""

    root: Path
    wheelhouse: Path

    @classmethod
    def make(cls, folder: Path) -> Unit:
        unit = cls(folder / "root", folder / "wheelhouse")
        shutil.copytree(INSTALL.parent, unit.wheelhouse / "deploy" / "jetson")
        shutil.copytree(UNITS, unit.wheelhouse / "systemd")
        needed = make_wheel(unit.wheelhouse, "needed", "1.0")
        digest = hashlib.sha256(needed.read_bytes()).hexdigest()
        lock = unit.wheelhouse / "deploy" / "jetson" / "requirements.txt"
        lock.write_text(f"needed==1.0 --hash=sha256:{digest}\n")
        python = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]
        (unit.root / python.relative_to("/")).parent.mkdir(parents=True)
        (unit.root / python.relative_to("/")).symlink_to(python)
        pip = find_spec("pip")
        assert pip is not None
        assert pip.origin is not None
        wrapper = unit.wheelhouse.with_name("python")
        wrapper.write_text(_PYTHON.format(python=sys.executable, pip=Path(pip.origin).parent))
        wrapper.chmod(0o755)
        return unit

    @property
    def active(self) -> Path:
        return self.root / "opt" / "flightsw"

    def releases(self) -> set[str]:
        folders = (self.root / "opt" / "flightsw-releases").iterdir()
        return {path.name for path in folders if not path.is_symlink()}

    def offer(self, version: str, script: str | None = None) -> None:
        """Put this release of flightsw into the wheelhouse, in place of the one there."""
        for old in self.wheelhouse.glob("flightsw-*.whl"):
            old.unlink()
        code = script or f"print('flightsw {version}')"
        make_wheel(self.wheelhouse, "flightsw", version, code, requires="needed")
        self.seal()

    def seal(self) -> None:
        """Write the checksums of what the wheelhouse holds."""
        files = [path for path in self.wheelhouse.rglob("*") if path.is_file()]
        sums = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
        (self.wheelhouse / "SHA256SUMS").write_text(
            "".join(
                f"{digest}  {path.relative_to(self.wheelhouse)}\n"
                for path, digest in sums.items()
                if path.name != "SHA256SUMS"
            )
        )

    def install(self, *options: str | Path) -> subprocess.CompletedProcess[str]:
        python = self.wheelhouse.with_name("python")
        return self.run("--wheelhouse", self.wheelhouse, "--python", python, *options)

    def run(self, *options: str | Path) -> subprocess.CompletedProcess[str]:
        script = self.wheelhouse / "deploy" / "jetson" / "install.sh"
        return run_script(script, "--root", self.root, *options)
