"""What the service may not enter, and what it must not wait for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flightsw.errors import SceneError, SceneNotFound
from flightsw.scene import open_scene
from tests.unit.flightsw.scene.safe_writer import SafeProduct, band_file

_NOBODY = 65_534


@pytest.fixture
def shut() -> Iterator[Path]:
    """A folder that everybody sees and nobody but root may enter."""
    with tempfile.TemporaryDirectory() as folder:
        product = Path(folder) / "product"
        (product / "GRANULE").mkdir(parents=True)
        Path(folder).chmod(0o755)
        product.chmod(0o000)
        yield product
        product.chmod(0o755)


def test_a_folder_that_may_not_be_entered_is_named(shut: Path) -> None:
    with _without_privileges(), pytest.raises(SceneNotFound, match="Permission denied"):
        open_scene(shut)


def _link_to_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, _link_to_zeros])
@pytest.mark.parametrize("which", ["MTD_MSIL2A.xml", "MTD_TL.xml", "B04"])
def test_what_is_not_a_plain_file_is_refused_and_not_waited_for(
    tmp_path: Path, which: str, make: Callable[[Path], object]
) -> None:
    root = SafeProduct(checksum=None).write(tmp_path)
    path = next(root.rglob(which)) if which.endswith("xml") else band_file(root, which)
    path.unlink()
    make(path)
    with pytest.raises(SceneError, match="not a plain file") as caught:
        open_scene(root)
    assert caught.value.subject == str(path)


@contextmanager
def _without_privileges() -> Iterator[None]:
    if os.geteuid():
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
