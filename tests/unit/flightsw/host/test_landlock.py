"""What is left of the file system, tried in another process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flightsw.host.landlock import landlock_version

pytestmark = pytest.mark.skipif(landlock_version() == 0, reason="the kernel has no Landlock")

_CODE = """
import os, sys
from pathlib import Path
from flightsw.host import landlock
from flightsw.host.seccomp import give_up_privileges
root, version = Path(sys.argv[1]), int(sys.argv[2])
if version:
    landlock.landlock_version = lambda: version
give_up_privileges()
landlock.restrict_files([root / "read", root / "file", root / "absent"], [root / "fill"])
for name, attempt in (
    ("read", lambda: (root / "read" / "a").read_text()),
    ("list", lambda: os.listdir(root / "read")),
    ("file", lambda: (root / "file").read_text()),
    ("fill", lambda: (root / "fill" / "new").write_text("x")),
    ("folder", lambda: (root / "fill" / "folder").mkdir()),
    ("write", lambda: (root / "read" / "a").write_text("x")),
    ("make", lambda: (root / "read" / "new").write_text("x")),
    ("other", lambda: (root / "other").read_text()),
    ("up", lambda: (root / "read" / ".." / "other").read_text()),
    ("link", lambda: (root / "read" / "link").read_text()),
    ("list root", lambda: os.listdir(root)),
    ("remove", lambda: (root / "read" / "a").unlink()),
    ("rename", lambda: (root / "fill" / "new").rename(root / "fill" / "other")),
    ("symlink", lambda: (root / "fill" / "symlink").symlink_to("/")),
):
    try:
        attempt()
        print(name)
    except OSError:
        pass
"""


@pytest.mark.parametrize("version", [0, 1], ids=["newest version", "version of JetPack"])
def test_only_what_is_allowed_is_read_or_filled(tmp_path: Path, version: int) -> None:
    for folder in ("read", "fill"):
        (tmp_path / folder).mkdir()
    for file in ("read/a", "file", "other"):
        (tmp_path / file).write_text(file)
    (tmp_path / "read" / "link").symlink_to(tmp_path / "other")
    command = [sys.executable, "-c", _CODE, str(tmp_path), str(version)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["read", "list", "file", "fill", "folder"]
