"""Folders that the service may not enter."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flightsw.errors import SceneNotFound
from flightsw.scene import open_scene

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
