"""Files of arrays that anyone may have made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deploy.model.arrays import read_arrays
from flightsw.errors import UsageError


def test_arrays_come_by_name(tmp_path: Path) -> None:
    path = tmp_path / "tile.npz"
    np.savez(path, bands=np.ones((4, 2, 2)), label=np.zeros((2, 2)))
    assert read_arrays(path, "bands").keys() == {"bands", "label"}


@pytest.mark.parametrize("content", [b"", b"not a zip file", b"PK\x03\x04 cut short"])
def test_a_file_that_is_not_npz_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tile.npz"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"tile\.npz is not a sound \.npz file"):
        read_arrays(path)


def test_an_array_of_objects_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tile.npz"
    np.savez(path, bands=np.array([{}], dtype=object))
    with pytest.raises(UsageError, match="is not a sound"):
        read_arrays(path)


def test_a_file_cut_short_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tile.npz"
    np.savez(path, bands=np.ones((4, 64, 64)))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UsageError, match="is not a sound"):
        read_arrays(path)


def test_what_is_missing_and_what_is_there_are_named(tmp_path: Path) -> None:
    path = tmp_path / "tile.npz"
    np.savez(path, image=np.ones(3))
    with pytest.raises(UsageError, match="lacks bands, label; it has image"):
        read_arrays(path, "bands", "label")
