"""The state file: whole transactions or nothing, one owner, and no file that is not understood."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from flightsw.errors import StateInUse, StateUnavailable, StateUnusable
from flightsw.state import StateFile


def _facts(folder: Path) -> dict[str, bytes]:
    with StateFile(folder) as state, state.reading() as db:
        return dict(db.execute("SELECT name, value FROM facts"))


def _fail_after_a_change(state: StateFile) -> None:
    with state.transaction():
        state.set_fact("kept", b"2")
        raise ZeroDivisionError


def test_a_transaction_is_whole_or_not_at_all(tmp_path: Path) -> None:
    with StateFile(tmp_path) as state:
        state.set_fact("kept", b"1")
        with pytest.raises(ZeroDivisionError):
            _fail_after_a_change(state)
        with state.transaction():
            state.set_fact("inner", b"3")
            with state.transaction():  # part of the outer one
                state.set_fact("inner", b"4")
    assert _facts(tmp_path) == {"kept": b"1", "inner": b"4"}


def test_what_a_transaction_wrote_survives_the_process(tmp_path: Path) -> None:
    with StateFile(tmp_path / "state") as state:
        state.set_fact("kept", b"1")
        # As the disk is at this instant: what a power cut leaves.
        shutil.copytree(tmp_path / "state", tmp_path / "later")
    assert _facts(tmp_path / "later") == {"kept": b"1"}


def test_every_commit_is_written_through(tmp_path: Path) -> None:
    with StateFile(tmp_path) as state, state.reading() as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_second_service_on_the_same_state_is_refused(tmp_path: Path) -> None:
    with StateFile(tmp_path), pytest.raises(StateInUse, match="another service"):
        StateFile(tmp_path)
    StateFile(tmp_path).close()


def test_a_newer_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    with StateFile(tmp_path) as state, state.transaction() as db:
        db.execute("PRAGMA user_version = 99")
    before = (tmp_path / "state.sqlite").read_bytes()
    with pytest.raises(StateUnusable, match="schema 99"):
        StateFile(tmp_path)
    assert (tmp_path / "state.sqlite").read_bytes() == before


@pytest.mark.parametrize("content", [b"no database" * 99, b"SQLite format 3\0" + bytes(5000)])
def test_a_corrupt_file_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.sqlite"
    path.write_bytes(content)
    with pytest.raises(StateUnusable, match="Move the file away"):
        StateFile(tmp_path)
    assert path.read_bytes() == content
    path.unlink()
    StateFile(tmp_path).close()  # the refusal held nothing


def test_a_file_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "state.sqlite") as db:
        db.execute("CREATE TABLE other (one)")
    db.close()
    with pytest.raises(StateUnusable, match="not a state file of flightsw"):
        StateFile(tmp_path)


def test_a_file_that_another_process_holds_is_unavailable_not_waited_for(tmp_path: Path) -> None:
    with StateFile(tmp_path) as state:
        other = sqlite3.connect(tmp_path / "state.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateUnavailable, match="locked"):
            state.set_fact("kept", b"1")
        other.execute("ROLLBACK")
        other.close()
        state.set_fact("kept", b"2")
        assert state.fact("kept") == b"2"


def test_a_file_that_another_process_holds_whole_is_told_at_the_start(tmp_path: Path) -> None:
    StateFile(tmp_path).close()
    other = sqlite3.connect(tmp_path / "state.sqlite", isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StateUnusable, match="Close what holds the file"):
        StateFile(tmp_path)
    other.close()
    StateFile(tmp_path).close()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateUnusable, match="file"):
        StateFile(tmp_path / "file" / "state")
