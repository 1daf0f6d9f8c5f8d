from __future__ import annotations

from pathlib import Path

import pytest

from telecommands.gateway.counts import CountFile, Counts, CountState
from telecommands.ground.errors import SequenceUnusable


def test_the_sequence_counts_all_packets_and_the_counter_those_of_a_kind() -> None:
    counts = Counts(CountState(100, sequence=2**14 - 1, counters={"5.4": 2**16 - 1}))
    assert [counts.next(5, 4), counts.next(5, 4), counts.next(3, 25)] == [
        (2**14 - 1, 2**16 - 1), (0, 0), (1, 0),
    ]  # fmt: skip


def test_counts_continue_after_an_end_that_closed_nothing(tmp_path: Path) -> None:
    path = tmp_path / "counts"
    first = CountFile(path, 100)
    assert [first.counts.next(3, 25) for _ in range(3)] == [(0, 0), (1, 1), (2, 2)]
    first.write()
    content = path.read_bytes()
    first.__exit__()
    path.write_bytes(content)  # as a killed process leaves it
    with CountFile(path, 100) as again:
        assert again.counts.next(3, 25) == (3, 3)


def test_two_gateways_cannot_hold_the_same_counts(tmp_path: Path) -> None:
    with CountFile(tmp_path / "counts", 100):  # noqa: SIM117 - the second one must fail
        with pytest.raises(SequenceUnusable, match="is held by another gateway"):
            CountFile(tmp_path / "counts", 100)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"\0" * 512, "does not hold packet counts"),
        (b'{"apid":7,"sequence":3}', "holds the counts of APID 7"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes, cause: str) -> None:
    (tmp_path / "counts").write_bytes(content)
    with pytest.raises(SequenceUnusable, match=cause):
        CountFile(tmp_path / "counts", 100)
    assert (tmp_path / "counts").read_bytes() == content


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SequenceUnusable, match="no such file or directory"):
        CountFile(tmp_path / "absent" / "counts", 100)
