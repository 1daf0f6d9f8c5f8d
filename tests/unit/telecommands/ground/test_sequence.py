from __future__ import annotations

import fcntl
import multiprocessing
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telecommands.auth import AHEAD, WINDOW, SequenceWindow
from telecommands.ground import sequence
from telecommands.ground.errors import SequenceUnusable
from telecommands.ground.sequence import SequenceFile
from telecommands.refusal import Refusal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "alice.sequence"


def test_numbers_begin_at_one_and_rise(path: Path) -> None:
    numbers = SequenceFile(path)
    assert [numbers.next() for _ in range(100)] == list(range(1, 101))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_number_is_on_the_disk_before_it_is_used(path: Path) -> None:
    numbers = SequenceFile(path)
    for _ in range(70):
        number = numbers.next()
        assert int(path.read_text()) > number


def test_a_restart_gives_no_number_again(path: Path) -> None:
    used = [SequenceFile(path).next() for _ in range(5)]
    assert used == sorted(set(used))


def test_a_window_takes_all_numbers_whatever_was_lost(path: Path) -> None:
    window = SequenceWindow()
    for _ in range(50):
        numbers = SequenceFile(path)
        for _ in range(3):
            window = window.take(numbers.next())


def _draw(path: Path, count: int) -> list[int]:
    numbers = SequenceFile(path)
    return [numbers.next() for _ in range(count)]


def test_processes_share_a_file_and_no_number(path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        drawn = pool.starmap(_draw, [(path, 200)] * 4)
    numbers = [number for part in drawn for number in part]
    assert len(set(numbers)) == len(numbers) == 800


@given(
    used=st.integers(0, 100),
    highest=st.one_of(st.integers(0, 200), st.integers(0, 2 * AHEAD), st.integers(0, 2**61)),
)
def test_after_advancing_the_service_takes_the_next_number(
    tmp_path_factory: pytest.TempPathFactory, used: int, highest: int
) -> None:
    numbers = SequenceFile(tmp_path_factory.mktemp("sequence") / "alice.sequence")
    for _ in range(used):
        numbers.next()
    numbers.advance(highest)
    number = numbers.next()
    assert number > highest
    SequenceWindow(highest, 1).take(number)


def test_a_number_left_behind_is_replaced(path: Path) -> None:
    slow, fast = SequenceFile(path), SequenceFile(path)
    slow.next()
    window = SequenceWindow()
    for _ in range(WINDOW + 100):
        window = window.take(fast.next())
    with pytest.raises(Refusal) as refused:
        window.take(slow.next())
    slow.advance(refused.value.data["highest"])
    window.take(slow.next())


def test_a_service_that_forgot_is_followed(path: Path) -> None:
    path.write_text(f"{5 * AHEAD:020}\n")
    numbers = SequenceFile(path)
    numbers.advance(0)
    assert numbers.next() == 1


@pytest.mark.parametrize("content", ["7", "x" * 20 + "\n", "0" * 20 + "\n", "-" + "1" * 19 + "\n"])
def test_garbage_is_refused_with_the_cure(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(SequenceUnusable, match="Remove it"):
        SequenceFile(path).next()


def test_a_link_or_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for path in (tmp_path / "link", tmp_path, tmp_path / "absent" / "file"):
        with pytest.raises(SequenceUnusable):
            SequenceFile(path).next()
    assert not (tmp_path / "elsewhere").exists()


def test_a_process_that_keeps_the_file_locked_is_reported(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequence, "_LOCK_S", 0.05)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(SequenceUnusable, match="another process"):
            SequenceFile(path).next()


def test_the_last_number_is_an_end(path: Path) -> None:
    path.write_text(f"{2**62 - 5:020}\n")
    with pytest.raises(SequenceUnusable, match="no sequence number left"):
        SequenceFile(path).next()


def test_the_name_of_a_new_file_is_on_the_disk_before_a_number_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut could take the file away, and its numbers would be used again."""
    synchronised: list[Path] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        synchronised.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    SequenceFile(tmp_path / "sequence").next()
    assert synchronised == [tmp_path, tmp_path / "sequence"]
    SequenceFile(tmp_path / "sequence").next()
    assert synchronised[2:] == [tmp_path / "sequence"]
