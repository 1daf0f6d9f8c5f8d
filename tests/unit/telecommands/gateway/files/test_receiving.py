from __future__ import annotations

import random
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from telecommands.gateway.files.library import read_pdu
from tests.unit.telecommands.gateway.files.two_ends import TwoEnds, is_file_data

CONTENT = bytes(range(256)) * 20


@pytest.fixture
def ends(tmp_path: Path) -> TwoEnds:
    return TwoEnds(tmp_path)


@settings(max_examples=25)
@given(
    content=st.binary(max_size=4000),
    loss=st.floats(0, 0.4),
    doubled=st.floats(0, 0.3),
    seed=st.integers(0, 1000),
)
def test_whatever_is_lost_or_doubled_a_file_arrives_whole_and_once(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, loss: float, doubled: float, seed: int
) -> None:
    ends, chance = TwoEnds(tmp_path_factory.mktemp("ends")), random.Random(seed)
    ends.change = lambda pdu, _: (
        [] if chance.random() < loss else [pdu, pdu] if chance.random() < doubled else [pdu]
    )
    assert ends.send(content) == ""
    (path,) = ends.files()
    assert path.name == "m.tar.1-1"
    assert path.read_bytes() == content
    assert ends.settled == [(path, "")]


def test_a_file_that_changed_on_its_way_is_not_kept_and_its_sender_learns_it(
    ends: TwoEnds,
) -> None:
    ends.change = lambda pdu, _: [pdu[:-1] + bytes([pdu[-1] ^ 1]) if is_file_data(pdu) else pdu]
    assert "file checksum failure" in ends.send(CONTENT)
    assert ends.settled == [(None, "m.tar: its checksum is wrong")]
    ends.receiver.close()
    assert ends.files() == []


@pytest.mark.parametrize(
    "name", ["../m", "/etc/m", "a/b", ".m", "..", "m\n", "m m", "x" * 69, "ü", "-rf"]
)
def test_a_name_that_is_not_plain_is_rejected(ends: TwoEnds, name: str) -> None:
    assert "filestore rejection" in ends.send(CONTENT, name)
    ends.receiver.close()
    assert ends.files() == []
    assert sorted(path.name for path in ends.folder.iterdir()) == ["file", "inbox"]


def test_a_file_longer_than_the_limit_is_rejected_at_its_metadata(tmp_path: Path) -> None:
    ends = TwoEnds(tmp_path, largest=1000)
    assert "filestore rejection" in ends.send(bytes(1001))
    assert ends.send(bytes(1000)) == ""


def test_data_beyond_the_announced_size_is_dropped_and_counted(ends: TwoEnds) -> None:
    def grown(pdu: bytes, down: bool) -> list[bytes]:
        if not (down and is_file_data(pdu)):
            return [pdu]
        far = read_pdu(pdu)
        far._params.offset = 2**31
        return [bytes(far.pack()), pdu]

    ends.change = grown
    assert ends.send(CONTENT) == ""
    assert ends.counts["beyond the largest file"] > 0
    assert ends.files()[0].stat().st_size == len(CONTENT)


def test_a_peer_that_vanishes_leaves_nothing_behind(ends: TwoEnds) -> None:
    (ends.folder / "file").write_bytes(CONTENT)
    ends.sender.begin(ends.folder / "file", "m.tar", 50, time.monotonic())
    ends.pass_on()
    assert [path.name for path in ends.files()] == [".1-50.part"]
    ends.receiver.emit(time.monotonic() + 11)
    assert ends.settled == [(None, "m.tar: the peer was silent for 10 s")]
    assert ends.files() == []


def test_transactions_of_other_numbers_do_not_mix(tmp_path: Path) -> None:
    ends, late = TwoEnds(tmp_path), []
    ends.change = lambda pdu, down: late.append(pdu) or [] if down else [pdu]  # type: ignore[func-returns-value]
    (tmp_path / "file").write_bytes(b"x" * 5000)
    ends.sender.begin(tmp_path / "file", "first", 50, time.monotonic())
    ends.pass_on()
    ends.sender.abandon("begun again")
    ends.change = lambda pdu, down: [*late, pdu] if down else [pdu]
    assert ends.send(CONTENT, "second") == ""
    assert [path.name for path in ends.files()] == [".1-50.part", "second.1-1"]
    assert ends.files()[1].read_bytes() == CONTENT


@contextmanager
def _longest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_ends_the_transaction_with_its_reason(ends: TwoEnds) -> None:
    (ends.folder / "file").write_bytes(CONTENT)
    ends.sender.begin(ends.folder / "file", "m.tar", 50, time.monotonic())
    with _longest_file(500):
        for _ in range(5):
            ends.pass_on()
    assert ends.settled == [(None, "m.tar: it cannot be stored (File too large)")]
    assert ends.files() == []


@settings(max_examples=60)
@given(seed=st.integers(0, 10**9))
@example(seed=32833354)  # a condition code that the library had left unshifted
def test_no_bytes_of_a_stranger_end_the_receiver_or_the_sender(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    ends, chance = TwoEnds(tmp_path_factory.mktemp("ends")), random.Random(seed)
    seen: list[bytes] = []
    ends.change = lambda pdu, _: seen.append(pdu) or [pdu]  # type: ignore[func-returns-value]
    assert ends.send(b"abc" * 200) == ""
    now = time.monotonic()
    ends.sender.begin(ends.folder / "file", "again", 50, now)
    ends.sender.emit(300, now)
    for pdu in seen:
        raw = bytearray(pdu)
        raw[chance.randrange(min(len(raw), 40))] = chance.randrange(256)
        try:
            read = read_pdu(bytes(raw)[: chance.randint(1, len(raw))])
        except ValueError:
            continue
        if hasattr(read, "directive_type"):
            ends.sender.take(read, now)
        ends.receiver.take(read, now)
        ends.receiver.emit(now)
        ends.sender.emit(300, now)
    ends.receiver.close()
