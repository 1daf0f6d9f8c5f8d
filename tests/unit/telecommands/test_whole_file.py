from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from telecommands.whole_file import write_whole


def test_a_whole_file_replaces_the_old_one_and_has_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old", 0o600)
    assert path.stat().st_mode & 0o777 == 0o600
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "file"
    write_whole(path, b"old")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_a_file_do_not_write_into_each_others_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, replace = tmp_path / "file", Path.replace

    def overtaken(part: Path, target: Path) -> Path:
        monkeypatch.undo()
        write_whole(path, b"the other's")
        return replace(part, target)

    monkeypatch.setattr(Path, "replace", overtaken)
    write_whole(path, b"one's")
    assert path.read_bytes() == b"one's"
    assert list(tmp_path.iterdir()) == [path]
