from __future__ import annotations

from pathlib import Path

import pytest

from telecommands.gateway.schedule_file import ScheduledRequest, ScheduleFile
from telecommands.ground.errors import SequenceUnusable

_SCHEDULED = [ScheduledRequest("e1", b"\x18\x64\xc0\x0b", 15), ScheduledRequest("e2", b"\0" * 4, 0)]


def test_what_was_written_is_read_by_the_next_gateway_of_the_unit(tmp_path: Path) -> None:
    file = ScheduleFile(tmp_path / "schedule", "sat-a")
    assert file.read() == []
    file.write(_SCHEDULED)
    assert ScheduleFile(tmp_path / "schedule", "sat-a").read() == _SCHEDULED
    assert ScheduleFile(tmp_path / "schedule", "sat-b").read() == []
    file.write([])
    assert file.read() == []
    assert [path.name for path in tmp_path.iterdir()] == ["schedule"]


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "schedule").write_bytes(b'{"apid":100}')
    with pytest.raises(SequenceUnusable, match="does not hold request ids"):
        ScheduleFile(tmp_path / "schedule", "sat-a").read()
    assert (tmp_path / "schedule").read_bytes() == b'{"apid":100}'


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SequenceUnusable, match="no such file or directory"):
        ScheduleFile(tmp_path / "absent" / "schedule", "sat-a").write(_SCHEDULED)
