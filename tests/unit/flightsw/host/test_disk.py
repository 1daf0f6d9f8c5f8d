from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from flightsw.errors import DiskFull, OutputNotWritable
from flightsw.host.disk import (
    check_space,
    disk_errors,
    has_room,
    make_folder,
    open_plain,
    read_plain,
    remove_remains,
    sha256,
)
from telecommands.whole_file import write_whole


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_every_kind_of_a_full_disk_reports_what_is_free(tmp_path: Path, number: int) -> None:
    with pytest.raises(DiskFull) as caught, disk_errors(tmp_path, 5_000_000):
        raise OSError(number, os.strerror(number))
    assert caught.value.fields["needed_bytes"] == 5_000_000
    assert caught.value.fields["free_bytes"] > 0
    assert "5.0 MB are needed" in caught.value.cause


def test_what_is_needed_may_be_unknown(tmp_path: Path) -> None:
    with pytest.raises(DiskFull) as caught, disk_errors(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.fields.keys() == {"free_bytes"}


def test_other_errors_name_the_file(tmp_path: Path) -> None:
    blocking = tmp_path / "file"
    blocking.write_text("no folder")
    with pytest.raises(OutputNotWritable, match="file") as caught, disk_errors(tmp_path):
        (blocking / "below").mkdir()
    assert caught.value.subject == str(blocking / "below")


def test_too_little_room_is_found_before_anything_is_written(tmp_path: Path) -> None:
    check_space(tmp_path / "not there yet", 1)
    with pytest.raises(DiskFull, match="too little room"):
        check_space(tmp_path, 1 << 60)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(path))  # a socket's path is at most 108 characters long


@pytest.mark.parametrize(
    "make",
    [os.mkfifo, os.mkdir, _socket, lambda path: path.symlink_to("/dev/zero")],
    ids=["fifo", "folder", "socket", "device"],
)
def test_only_plain_files_are_opened(tmp_path: Path, make: Callable[[Path], object]) -> None:
    path = tmp_path / "file"
    make(path)
    for read in (open_plain, sha256, lambda one: read_plain(one, 10)):
        with pytest.raises(OSError, match="not a plain file") as caught:
            read(path)
        assert caught.value.errno == errno.EINVAL


def test_a_file_that_is_replaced_by_a_fifo_in_between_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    os.mkfifo(path)
    monkeypatch.setattr("flightsw.host.disk.check_plain", lambda _: None)  # it was plain then
    with pytest.raises(OSError, match="not a plain file"):
        open_plain(path)


def test_a_plain_file_is_read_up_to_its_limit_and_no_further(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(10)))
    assert read_plain(path, 10) == bytes(range(10))
    with pytest.raises(OSError, match="larger than 9 bytes") as caught:
        read_plain(path, 9)
    assert caught.value.errno == errno.EFBIG


def test_a_made_folder_and_those_above_it_are_synchronised_by_their_parents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synchronised: list[Path] = []
    monkeypatch.setattr("flightsw.host.disk.sync", synchronised.append)
    make_folder(tmp_path / "a" / "b", 0o700)
    assert synchronised == [tmp_path, tmp_path / "a"]
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    make_folder(tmp_path / "a")
    assert len(synchronised) == 2


def test_what_a_crash_leaves_of_writes_and_probes_is_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "kept.partial").touch()
    monkeypatch.setattr(Path, "unlink", die)  # as the process would
    monkeypatch.setattr(Path, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "endpoints.json", b"{}")
    with pytest.raises(KeyboardInterrupt):
        has_room(tmp_path, 10)
    monkeypatch.undo()
    assert len(list(tmp_path.iterdir())) == 3
    remove_remains(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.partial"]
