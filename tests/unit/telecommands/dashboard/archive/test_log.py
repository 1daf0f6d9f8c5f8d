from __future__ import annotations

import stat
from pathlib import Path

import pytest

from telecommands.dashboard.archive import log
from telecommands.dashboard.archive.log import OperatorsLog
from telecommands.ground.errors import ArchiveError, LogConflict, LogFull, UsageError


def test_objects_are_kept_over_restarts_and_only_their_owner_may_read_them(path: Path) -> None:
    with OperatorsLog(path) as kept:
        assert kept.get("a") is None
        assert kept.put("a", 0, b"one") == 1
        assert kept.put("a", 1, b"two") == 2
        files = list(path.parent.glob(f"{path.name}*"))
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    with OperatorsLog(path) as kept:
        assert kept.get("a") == (2, b"two")


@pytest.mark.parametrize("revision", [0, 1, 3])
def test_a_page_cannot_overwrite_what_it_has_not_read(path: Path, revision: int) -> None:
    with OperatorsLog(path) as kept, OperatorsLog(path) as other:
        kept.put("a", 0, b"one")
        other.put("a", 1, b"two")
        with pytest.raises(LogConflict):
            kept.put("a", revision, b"three")
        assert kept.get("a") == (2, b"two")


def test_it_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MOST_OBJECT_BYTES", 10)
    monkeypatch.setattr(log, "MOST_BYTES", 25)
    monkeypatch.setattr(log, "MOST_OBJECTS", 3)
    with OperatorsLog(path) as kept:
        with pytest.raises(LogFull):
            kept.put("a", 0, bytes(11))
        with pytest.raises(UsageError):
            kept.put(101 * "k", 0, b"")
        for key in "ab":
            kept.put(key, 0, bytes(10))
        with pytest.raises(LogFull):
            kept.put("c", 0, bytes(6))
        kept.put("c", 0, bytes(1))
        with pytest.raises(LogFull):
            kept.put("d", 0, b"")
        assert kept.put("a", 1, bytes(9)) == 2  # its earlier content does not count
        assert kept.get("d") is None


def test_another_file_is_refused(path: Path) -> None:
    path.write_bytes(b"no database" * 100)
    with pytest.raises(ArchiveError):
        OperatorsLog(path)
