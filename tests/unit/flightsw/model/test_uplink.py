from __future__ import annotations

import hashlib
import io
import resource
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightsw.errors import DiskFull, OutputNotWritable
from flightsw.model.uplink import ModelUplink
from telecommands.codec import convert_arguments
from telecommands.dictionary import LONGEST_UPLINK_CHUNK, Code
from telecommands.refusal import Refusal

CHUNK = 700


def archive(
    files: dict[str, bytes], change: Callable[[tarfile.TarInfo], None] | None = None
) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            if change:
                change(entry)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


FILES = {"package.json": b"{}", "compiled_model/model.json": b"[]" * 900, "SHA256SUMS": b"x"}


class Board:
    """The uplink as telecommands use it, over restarts of the service."""

    def __init__(self, inbox: Path, quota: int = 10**6) -> None:
        self.inbox, self.quota, self.reserve = inbox, quota, 0
        self.restart()

    def restart(self) -> None:
        self.uplink = ModelUplink(self.inbox, lambda: self.quota, lambda: self.reserve)

    def begin(self, content: bytes, name: str = "m") -> int:
        digest = hashlib.sha256(content).hexdigest()
        return self.uplink.begin(name, len(content), digest).received

    def send(self, content: bytes, start: int = 0, end: int | None = None, name: str = "m") -> None:
        end = len(content) if end is None else end
        for at in range(start, end, CHUNK):
            self.uplink.store(name, at, content[at : min(at + CHUNK, end)])

    def carry(self, content: bytes, name: str = "m") -> None:
        self.send(content, self.begin(content, name), name=name)
        assert self.uplink.finish(name).complete

    def refusal(self, action: Callable[[], object]) -> Refusal:
        with pytest.raises(Refusal) as refused:
            action()
        return refused.value

    def files(self, name: str = "m") -> dict[str, bytes]:
        package = self.inbox / name
        return {
            path.relative_to(package).as_posix(): path.read_bytes()
            for path in package.rglob("*")
            if path.is_file()
        }


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path / "inbox")


def test_a_package_arrives_whole_and_alone(board: Board) -> None:
    board.carry(archive(FILES))
    assert board.files() == FILES
    listed = board.uplink.listing()
    assert [(one.name, one.complete) for one in listed.uplinks] == [("m", True)]
    assert listed.used_bytes == sum(map(len, FILES.values()))
    assert not list(board.inbox.glob("*.part"))


@settings(max_examples=30)
@given(cut=st.integers(0, 9_000), again=st.integers(0, 9_000))
def test_an_uplink_resumes_at_what_is_stored_whatever_was_sent_twice(
    tmp_path_factory: pytest.TempPathFactory, cut: int, again: int
) -> None:
    board = Board(tmp_path_factory.mktemp("board") / "inbox")
    content = archive(FILES)
    cut = min(cut, len(content))
    board.begin(content)
    board.send(content, end=cut)
    board.restart()
    assert board.begin(content) == cut
    board.send(content, min(again, cut))
    board.uplink.finish("m")
    assert board.files() == FILES


def test_a_chunk_behind_a_gap_says_where_to_continue(board: Board) -> None:
    content = archive(FILES)
    board.begin(content)
    board.send(content, end=CHUNK)
    refusal = board.refusal(lambda: board.uplink.store("m", CHUNK + 1, b"x"))
    assert (refusal.code, refusal.data) == (Code.UPLINK_GAP, {"received": CHUNK})
    assert board.refusal(lambda: board.uplink.finish("m")).code is Code.UPLINK_GAP


def test_the_end_may_be_repeated_over_a_restart_and_the_package_is_there_once(board: Board) -> None:
    content = archive(FILES)
    board.carry(content)
    board.restart()
    assert board.uplink.finish("m").complete
    assert board.begin(content) == len(content)
    assert board.refusal(lambda: board.begin(content + b"other")).code is Code.BAD_ARGUMENTS
    assert board.files() == FILES


def test_another_file_of_the_name_begins_again(board: Board) -> None:
    first, second = archive(FILES), archive({**FILES, "NOTICE": b"new"})
    board.begin(first)
    board.send(first, end=CHUNK)
    assert board.begin(second) == 0
    board.send(second)
    board.uplink.finish("m")
    assert board.files() == {**FILES, "NOTICE": b"new"}


def test_a_wrong_sha256_deletes_the_file_and_leaves_no_package(board: Board) -> None:
    content = archive(FILES)
    wrong = bytes([content[0] ^ 1]) + content[1:]
    board.begin(content)
    board.send(wrong)
    assert board.refusal(lambda: board.uplink.finish("m")).code is Code.UPLINK_DAMAGED
    assert list(board.inbox.iterdir()) == []
    assert board.begin(content) == 0


def _link(entry: tarfile.TarInfo) -> None:
    entry.type, entry.linkname, entry.size = tarfile.SYMTYPE, "/etc/passwd", 0


def _device(entry: tarfile.TarInfo) -> None:
    entry.type, entry.size = tarfile.CHRTYPE, 0


@pytest.mark.parametrize(
    "content",
    [
        archive({"../escaped": b"x"}),
        archive({"/escaped": b"x"}),
        archive({"a/../../escaped": b"x"}),
        archive({"a/b/c/d/e": b"x"}),
        archive({".hidden": b"x"}),
        archive({"a": b"x", "a/b": b"x"}),
        archive({"a": b""}, _link),
        archive({"a": b""}, _device),
        archive({"a": b"x"})[:1000],
        archive({"a": b"x"}) .replace(b"00000000001", b"77777777777", 1),
        archive({}),
        b"not an archive" * 100,
        archive({"a": b"x"}) [:512] + archive({"a": b"x"}),
    ],
)  # fmt: skip
def test_an_archive_of_anything_but_plain_files_below_the_package_is_refused(
    board: Board, content: bytes
) -> None:
    board.begin(content)
    board.send(content)
    refusal = board.refusal(lambda: board.uplink.finish("m"))
    assert refusal.code is Code.UPLINK_DAMAGED
    assert list(board.inbox.iterdir()) == []
    assert not list(board.inbox.parent.glob("*escaped*"))


@pytest.mark.parametrize("name", ["../m", "a/b", ".m", "", "/m", "m\0", "m\n", "x" * 65, "~"])
def test_a_name_that_could_leave_the_inbox_is_rejected_by_the_interface(name: str) -> None:
    with pytest.raises(Refusal) as refused:
        convert_arguments("BEGIN_UPLINK", {"name": name, "size": 1, "sha256": "0" * 64})
    assert refused.value.code is Code.BAD_ARGUMENTS


def test_an_oversized_chunk_is_rejected_by_the_interface() -> None:
    data = bytes(LONGEST_UPLINK_CHUNK + 1)
    with pytest.raises(Refusal) as refused:
        convert_arguments("UPLINK_CHUNK", {"name": "m", "offset": 0, "data": data})
    assert refused.value.code is Code.BAD_ARGUMENTS


def test_no_byte_is_stored_beyond_the_announced_size(board: Board) -> None:
    board.begin(b"12345")
    refusal = board.refusal(lambda: board.uplink.store("m", 0, b"123456"))
    assert refusal.code is Code.BAD_ARGUMENTS
    assert board.begin(b"12345") == 0


def test_a_link_in_the_inbox_is_neither_followed_nor_replaced(board: Board) -> None:
    content = archive(FILES)
    outside = board.inbox.parent / "outside"
    outside.write_bytes(b"precious")
    board.begin(content)
    (part,) = board.inbox.glob(".*.part")
    part.unlink()
    part.symlink_to(outside)
    with pytest.raises(Exception, match="cannot be written"):
        board.uplink.store("m", 0, content[:CHUNK])
    (board.inbox / "linked").symlink_to(outside)
    assert board.refusal(lambda: board.begin(content, "linked")).code is Code.BAD_ARGUMENTS
    board.uplink.delete("linked")
    assert outside.read_bytes() == b"precious"


def test_the_quota_counts_packages_and_open_uplinks(board: Board) -> None:
    content = archive(FILES)
    board.quota = 4 * len(content) - 1
    board.carry(content, "one")
    board.begin(content, "two")
    assert board.refusal(lambda: board.begin(content, "three")).code is Code.UPLINK_QUOTA
    board.uplink.delete("two")
    board.carry(content, "three")
    board.uplink.delete("one")
    assert {one.name for one in board.uplink.listing().uplinks} == {"three"}


def test_few_uplinks_are_open_at_the_same_time(board: Board) -> None:
    for number in range(4):
        board.begin(b"x", f"m{number}")
    assert board.refusal(lambda: board.begin(b"x", "m4")).code is Code.UPLINK_QUOTA


def test_an_uplink_leaves_the_reserve_of_the_disk_free(board: Board) -> None:
    board.reserve = 10**18
    with pytest.raises(DiskFull):
        board.begin(archive(FILES))
    assert not list(board.inbox.glob(".*"))


@contextmanager
def longest_file(size: int) -> Iterator[None]:
    """Files of this process cannot grow beyond ``size``: what a full disk does to a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_loses_nothing_that_was_stored(board: Board) -> None:
    content = archive(FILES)
    board.begin(content)
    board.send(content, end=CHUNK)
    with longest_file(CHUNK + 10), pytest.raises(DiskFull):
        board.uplink.store("m", CHUNK, content[CHUNK : 2 * CHUNK])
    assert board.begin(content) == CHUNK
    board.send(content, CHUNK)
    with longest_file(1000), pytest.raises(DiskFull):
        board.uplink.finish("m")
    assert not (board.inbox / "m").exists()
    board.uplink.finish("m")
    assert board.files() == FILES


def test_an_inbox_that_is_not_a_folder_is_named(board: Board) -> None:
    board.inbox.write_bytes(b"")
    with pytest.raises(OutputNotWritable, match="inbox cannot be written"):
        board.begin(archive(FILES))


def test_what_a_crash_left_of_unpacking_is_removed(board: Board) -> None:
    content = archive(FILES)
    board.begin(content)
    board.send(content)
    half = board.inbox / ".m.unpacking"
    half.mkdir()
    (half / "package.json").write_bytes(b"{")
    board.restart()
    board.uplink.finish("m")
    assert board.files() == FILES


def test_what_does_not_exist_cannot_be_sent_ended_or_deleted(board: Board) -> None:
    for action in (
        lambda: board.uplink.store("m", 0, b"x"),
        lambda: board.uplink.finish("m"),
        lambda: board.uplink.delete("m"),
    ):
        assert board.refusal(action).code is Code.NO_UPLINK
    assert not board.inbox.exists()
