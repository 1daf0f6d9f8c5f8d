"""The state file: whole transactions or nothing, one owner, and no file that is not understood."""

from __future__ import annotations

import re
import resource
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flightsw.errors import StateInUse, StateUnavailable, StateUnusable
from flightsw.state import StateFile
from flightsw.state.schema import APPLICATION_ID


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


def test_a_transaction_that_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    def on_the_disk() -> dict[str, bytes]:
        files = [path for path in tmp_path.iterdir() if not path.name.endswith("-shm")]
        return {path.name: path.read_bytes() for path in files}

    with StateFile(tmp_path) as state:
        state.set_fact("kept", b"1")
        before, done = on_the_disk(), list[str]()
        with state.transaction() as db:
            db.execute("DELETE FROM facts WHERE name = 'absent'")
            state.after_commit(lambda: done.append("asked for"))
        assert on_the_disk() == before
        assert done == ["asked for"]
        state.set_fact("kept", b"2")
        assert on_the_disk() != before


def _fail_after_asking_for(state: StateFile, action: Callable[[], None]) -> None:
    with state.transaction():
        state.after_commit(action)
        raise KeyError


def test_what_waits_for_the_commit_is_done_after_it_and_never_if_it_is_rolled_back(
    tmp_path: Path,
) -> None:
    done: list[str] = []
    with StateFile(tmp_path) as state:
        with state.transaction():
            with state.transaction():  # part of the outer one
                state.after_commit(lambda: done.append("kept"))
            assert done == []
        assert done == ["kept"]
        with pytest.raises(KeyError):
            _fail_after_asking_for(state, lambda: done.append("rolled back"))
        with state.transaction():
            pass
        assert done == ["kept"]
        state.after_commit(lambda: done.append("immediately"))
    assert done == ["kept", "immediately"]


def test_what_another_thread_does_after_a_commit_waits_for_no_transaction(tmp_path: Path) -> None:
    done: list[str] = []
    with StateFile(tmp_path) as state, state.transaction():
        other = threading.Thread(target=state.after_commit, args=(lambda: done.append("done"),))
        other.start()
        other.join(timeout=30)
        assert done == ["done"]


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
        db.execute("UPDATE seals SET rows = 99 WHERE name = 'schema'")
        db.execute("PRAGMA user_version = 99")
    before = (tmp_path / "state.sqlite").read_bytes()
    with pytest.raises(StateUnusable, match="schema 99"):
        StateFile(tmp_path)
    assert (tmp_path / "state.sqlite").read_bytes() == before


def test_a_header_that_alone_claims_to_be_newer_is_damage(tmp_path: Path) -> None:
    with StateFile(tmp_path) as state:
        state.set_fact("kept", b"1")
        with state.transaction() as db:
            db.execute("PRAGMA user_version = 99")
    with StateFile(tmp_path) as state:
        assert state.loss is not None
        assert state.loss.nothing
        assert state.fact("kept") == b"1"


@pytest.mark.parametrize("content", [b"no database" * 99, b"SQLite format 3\0" + bytes(5000), b""])
def test_a_file_of_which_nothing_is_left_gives_an_empty_state_and_says_so(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "state.sqlite"
    path.write_bytes(content)
    with StateFile(tmp_path) as state:
        assert state.loss is not None
        assert not state.loss.nothing
        assert state.loss.distrusted("jobs") is None
        state.set_fact("kept", b"1")
    assert (tmp_path / "state.damaged.sqlite").read_bytes() == content
    with StateFile(tmp_path) as state:  # until somebody has dealt with it
        assert state.loss is not None
        state.accept_loss()
    with StateFile(tmp_path) as state:
        assert state.loss is None
        assert state.fact("kept") == b"1"


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


def test_a_file_that_another_process_holds_whole_is_reported_at_the_start(tmp_path: Path) -> None:
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


@contextmanager
def _no_room() -> Iterator[None]:
    """No file of this process may grow: as on a full disk, in the middle of its life too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_state_without_room_is_in_memory_until_there_is_some(tmp_path: Path) -> None:
    with StateFile(tmp_path) as state:
        state.set_fact("kept", b"1")
    before = (tmp_path / "state.sqlite").read_bytes()
    with _no_room():
        state = StateFile(tmp_path)
        assert state.volatile
        assert state.fact("kept") == b"1"
        state.set_fact("later", b"2")
        assert not state.settle()
        assert not state.keep_copy()
    assert (tmp_path / "state.sqlite").read_bytes() == before
    assert state.settle()
    assert not state.volatile
    state.set_fact("last", b"3")
    state.close()
    assert _facts(tmp_path) == {"kept": b"1", "later": b"2", "last": b"3"}


def test_a_killed_state_is_read_without_room(tmp_path: Path) -> None:
    with StateFile(tmp_path / "state") as state:
        state.set_fact("kept", b"1")
        shutil.copytree(tmp_path / "state", tmp_path / "killed")
    assert (tmp_path / "killed" / "state.sqlite-wal").stat().st_size > 0
    with _no_room():
        state = StateFile(tmp_path / "killed")
        assert state.volatile
        assert state.fact("kept") == b"1"
    state.close()


def test_an_old_file_without_checksums_is_taken_over(tmp_path: Path) -> None:
    with StateFile(tmp_path) as state, state.reading() as db:
        seals = ("TRIGGER", "INDEX")
        plain = [
            _without_checksum(sql)
            for kind, name, sql in db.execute("SELECT type, name, sql FROM sqlite_master")
            if sql and kind.upper() not in seals and name not in ("seals", "sqlite_sequence")
        ]
    for path in tmp_path.iterdir():
        path.unlink()
    with sqlite3.connect(tmp_path / "state.sqlite") as old:
        for statement in plain:
            old.execute(statement)
        old.execute("INSERT INTO facts VALUES ('kept', x'31')")
        old.execute("INSERT INTO boots (started_at, cause) VALUES (1, 'first boot')")
        old.execute("DELETE FROM boots")
        old.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        old.execute("PRAGMA user_version = 1")
    old.close()
    with StateFile(tmp_path) as state:
        assert state.loss is None
        assert state.fact("kept") == b"1"
        with state.transaction() as db:
            db.execute("INSERT INTO boots (started_at, cause) VALUES (2, 'later')")
            assert db.execute("SELECT boot FROM boots").fetchall() == [(2,)]
    with StateFile(tmp_path) as state:
        assert state.loss is None


def _without_checksum(sql: str) -> str:
    return re.sub(r"checksum INTEGER NOT NULL AS \(.*?\)\) STORED,", "", sql)


def test_damage_while_the_file_is_in_use_is_found_by_the_next_copy(tmp_path: Path) -> None:
    with StateFile(tmp_path) as state:
        with state.transaction() as db:
            db.execute("INSERT INTO boots (started_at, cause) VALUES (1, 'that is found')")
        assert state.keep_copy()
        good = (tmp_path / "state.copy.sqlite").read_bytes()
        with state.reading() as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        path = tmp_path / "state.sqlite"
        path.write_bytes(path.read_bytes().replace(b"that is found", b"that is fousd"))
        state.set_fact("other", b"1")
        assert not state.keep_copy()
        assert "boots" in state.damage
        assert (tmp_path / "state.copy.sqlite").read_bytes() == good
    with StateFile(tmp_path) as state, state.reading() as db:
        assert db.execute("SELECT cause FROM boots").fetchall() == [("that is found",)]


def test_a_first_start_that_was_cut_short_lost_nothing(tmp_path: Path) -> None:
    (tmp_path / "state.new.sqlite").write_bytes(bytes(4096))  # never renamed
    (tmp_path / "state.mark").touch()
    with StateFile(tmp_path) as state:
        assert state.loss is None
        assert not state.volatile
    assert not (tmp_path / "state.new.sqlite").exists()
