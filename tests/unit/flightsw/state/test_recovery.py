"""Restoring a damaged state: every sound row survives, and what is gone is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from flightsw.state import StateFile, StateLoss

_KILL = "killed"


def _facts(state: StateFile) -> dict[str, bytes]:
    with state.reading() as db:
        rows = db.execute("SELECT name, value FROM facts WHERE name != 'state.loss'").fetchall()
    return dict(rows)


def _written(folder: Path, *, copy: bool) -> Path:
    """A state that was stopped, with a copy that is older by one fact if asked for."""
    with StateFile(folder) as state:
        state.set_fact("first", b"value one")
        state.set_fact("second", b"value two")
        if copy:
            assert state.keep_copy()
        state.set_fact("third", b"value three")
    return folder / "state.sqlite"


def _damage(path: Path, sound: bytes, damaged: bytes) -> None:
    content = path.read_bytes()
    assert sound in content
    path.write_bytes(content.replace(sound, damaged))


def _restored(folder: Path) -> tuple[StateLoss | None, dict[str, bytes]]:
    with StateFile(folder) as state:
        return state.loss, _facts(state)


def test_a_damaged_row_costs_that_row_only(tmp_path: Path) -> None:
    _damage(_written(tmp_path, copy=False), b"value two", b"value twa")
    loss, facts = _restored(tmp_path)
    assert facts == {"first": b"value one", "third": b"value three"}
    assert loss is not None
    assert (loss.lost, loss.unsure, loss.transactions) == ({"facts": 1}, (), 0)


def test_a_damaged_row_is_restored_exactly_from_an_older_copy_that_has_it(tmp_path: Path) -> None:
    _damage(_written(tmp_path, copy=True), b"value two", b"value twa")
    loss, facts = _restored(tmp_path)
    assert facts == {"first": b"value one", "second": b"value two", "third": b"value three"}
    assert loss is not None
    assert loss.nothing


def test_a_row_whose_older_version_is_in_the_copy_is_named(tmp_path: Path) -> None:
    with StateFile(tmp_path) as state:
        with state.transaction() as db:
            db.execute("INSERT INTO sequence_windows VALUES ('ground', x'01')")
        assert state.keep_copy()
        with state.transaction() as db:
            db.execute("UPDATE sequence_windows SET window = ?", (b"later window",))
    _damage(tmp_path / "state.sqlite", b"later window", b"later windov")
    with StateFile(tmp_path) as state:
        loss = state.loss
        assert loss is not None
        assert loss.lost == {"sequence_windows": 1}
        assert loss.distrusted("sequence_windows") == ("ground",)
        assert loss.distrusted("jobs") == ()


def test_a_damaged_checksum_costs_nothing(tmp_path: Path) -> None:
    path = _written(tmp_path, copy=False)
    with StateFile(tmp_path) as state, state.reading() as db:
        (checksum,) = db.execute("SELECT checksum FROM facts WHERE name = 'second'").fetchone()
    stored = checksum.to_bytes(8, "big")
    _damage(path, stored, stored[:-1] + bytes([stored[-1] ^ 1]))
    loss, facts = _restored(tmp_path)
    assert facts["second"] == b"value two"
    assert loss is not None
    assert loss.nothing


def test_a_log_that_is_cut_short_is_noticed(tmp_path: Path) -> None:
    with StateFile(tmp_path / "state") as state:
        state.set_fact("first", b"1")
        state.set_fact("second", b"2")
        shutil.copytree(tmp_path / "state", tmp_path / _KILL)
    log = tmp_path / _KILL / "state.sqlite-wal"
    content = bytearray(log.read_bytes())
    content[-100] ^= 1  # in the last transaction's frames: SQLite ends before them
    log.write_bytes(content)
    loss, facts = _restored(tmp_path / _KILL)
    assert "second" not in facts
    assert loss is not None
    assert loss.transactions == 1
    assert loss.distrusted("jobs") is None


def test_a_file_that_is_gone_is_replaced_by_the_copy(tmp_path: Path) -> None:
    with StateFile(tmp_path) as state:
        state.set_fact("first", b"1")
        assert state.keep_copy()
    (tmp_path / "state.sqlite").unlink()
    loss, facts = _restored(tmp_path)
    assert facts == {"first": b"1"}
    assert loss is not None
    assert loss.nothing


def test_numbers_are_not_given_twice_after_a_loss(tmp_path: Path) -> None:
    with StateFile(tmp_path) as state:
        for moment in range(20):
            with state.transaction() as db:
                db.execute("INSERT INTO boots (started_at, cause) VALUES (?, 'x')", (moment,))
    (tmp_path / "state.sqlite").write_bytes(b"")
    with StateFile(tmp_path) as state, state.transaction() as db:
        db.execute("INSERT INTO boots (started_at, cause) VALUES (21, 'x')")
        assert db.execute("SELECT MAX(boot) FROM boots").fetchone()[0] > 20


@pytest.mark.parametrize(
    "change",
    [
        lambda db: db.execute("DELETE FROM boots WHERE boot = 1"),
        lambda db: db.execute("UPDATE boots SET cause = 'other' WHERE boot = 1"),
        lambda db: db.execute("INSERT INTO boots (started_at, cause) VALUES (3, 'x')"),
    ],
)
def test_a_change_that_passed_the_seals_by_is_found(
    tmp_path: Path, change: Callable[..., object]
) -> None:
    """As a write that never reached the medium, or reached another place, looks like."""
    with StateFile(tmp_path) as state:
        with state.transaction() as db:
            db.execute("INSERT INTO boots (started_at, cause) VALUES (1, 'x'), (2, 'y')")
        with state.reading() as db:
            sealed = db.execute("SELECT rows, digest FROM seals WHERE name = 'boots'").fetchone()
            change(db)
            now = db.execute("SELECT rows, digest FROM seals WHERE name = 'boots'").fetchone()
            assert now != sealed
            query = "UPDATE seals SET rows = ?, digest = ? WHERE name = 'boots'"
            db.execute(query, sealed)
    loss, _ = _restored(tmp_path)
    assert loss is not None
    assert loss.distrusted("boots") is None
