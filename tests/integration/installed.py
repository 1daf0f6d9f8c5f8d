"""The package as its users get it: built, and installed without extras into a fresh environment."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.integration.unit_files import ROOT

_LEFT_OUT: Final = (".*", "*.egg-info", "__pycache__", "node_modules", "build", "demo", "bench")
_ENVIRON: Final = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@dataclass(frozen=True)
class Distributions:
    """A wheel and a source distribution, made from a copy of the checkout."""

    source: Path
    wheel: Path
    sdist: Path


def build_distributions(folder: Path) -> Distributions:
    """Build both from a copy, so that nothing is left in the checkout and nothing old is packed."""
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    shutil.copytree(ROOT / ".ci", source / ".ci")
    _run([_uv(), "build", "--quiet", "--out-dir", str(folder / "dist"), str(source)], folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    return Distributions(source, wheel, sdist)


def find_python(version: str) -> Path | None:
    """The Python ``version`` (3.x) of this machine: on the PATH, of Debian, or of pyenv."""
    name = f"python{version}"
    for place in _places(name):
        asked = [place, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        answered = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
        if answered.stdout.strip() == version:
            return Path(place)
    return None


def _places(name: str) -> Iterator[str]:
    if found := shutil.which(name):
        yield found
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for installed in (Path("/usr"), *sorted(versions.glob("3.*"))):
        if (place := installed / "bin" / name).exists():
            yield str(place)


class Installed:
    """An environment that holds the wheel and what it declares, and nothing else."""

    def __init__(self, folder: Path, python: Path, wheel: Path) -> None:
        self.folder = folder
        self._bin = folder / "environment" / "bin"
        environment = str(folder / "environment")
        _run([_uv(), "venv", "--quiet", "--python", str(python), environment], folder)
        install = [_uv(), "pip", "install", "--quiet", "--python", environment]
        _run([*install, "--constraints", str(ROOT / "constraints.txt"), str(wheel)], folder)

    def run(self, command: str, *arguments: str | Path) -> str:
        """Run a command of the environment; its output.  It must succeed."""
        return _run([str(self._bin / command), *map(str, arguments)], self.folder).stdout

    def start(self, command: str, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start a command of the environment."""
        return subprocess.Popen(
            [str(self._bin / command), *map(str, arguments)],
            cwd=self.folder,
            env=_ENVIRON,
            stdout=subprocess.PIPE,
            text=True,
        )


def _uv() -> str:
    from uv import find_uv_bin  # noqa: PLC0415 - an old environment may lack it

    return str(find_uv_bin())


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        cwd=folder,
        env=_ENVIRON,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done
