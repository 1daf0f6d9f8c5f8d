"""Files that a state may be read from, sound or not, without writing anything."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from flightsw.errors import StateUnusable
from flightsw.state.mark import StateMark
from flightsw.state.schema import APPLICATION_ID, SCHEMA, TRANSACTIONS, VERSION, connect, tables
from flightsw.state.verification import (
    UNREADABLE,
    faults_of,
    is_busy,
    read_seal,
    readable_text,
)

_WITHOUT_CHECKSUMS = 1  # the first version


@dataclass(frozen=True)
class Source:
    """A file to restore from; ``faults`` is empty if it is sound."""

    db: sqlite3.Connection
    faults: Sequence[str]

    @property
    def transactions(self) -> int | None:
        """How many transactions it holds; None if that is damaged."""
        seal = read_seal(self.db, TRANSACTIONS)
        return None if seal is None else seal.rows

    @property
    def version(self) -> int:
        """The version in the file's header; 0 if it cannot be read."""
        return _pragma(self.db, "user_version")

    @property
    def table_names(self) -> frozenset[str]:
        """The tables in it; empty if they cannot be read."""
        return _table_names(self.db)

    @property
    def has_no_checksums(self) -> bool:
        """Whether it is a file of the version before checksums."""
        names = self.table_names
        return self.version == _WITHOUT_CHECKSUMS and bool(names) and names <= _our_tables()

    def refuse_foreign(self, path: Path, *, alone: bool) -> None:
        """Raise :class:`StateUnusable` if it is newer than this software, or was never ours.

        A damaged header alone makes it neither: a newer file says its version twice.
        """
        declared = read_seal(self.db, SCHEMA)
        if declared is not None and declared.rows == self.version > VERSION:
            raise StateUnusable(
                path,
                f"has schema {self.version}, but this software reads up to {VERSION}",
                "Install the newer software again, or move the file away",
            )
        foreign = self.table_names - _our_tables() - {"seals"}
        if alone and foreign and _pragma(self.db, "application_id") != APPLICATION_ID:
            raise StateUnusable(path, "is not a state file of flightsw", "Give another state_dir")


@contextmanager
def opened(path: Path, mark: StateMark | None) -> Iterator[Source | None]:
    """A file and what is wrong with it; None if there is no such file.

    Raises :class:`sqlite3.OperationalError` if another process holds the file.
    """
    if not path.exists():
        yield None
        return
    db = _reader(path)
    try:
        faults = faults_of(db, mark)
        db.text_factory = readable_text
        yield Source(db, faults)
    finally:
        db.close()


def _reader(path: Path) -> sqlite3.Connection:
    """A connection that needs no further file, as a full disk has no room for one."""
    if path.with_name(path.name + "-wal").exists():
        db = connect(path)
        db.execute("PRAGMA locking_mode = EXCLUSIVE")  # the log's index is in memory then
        return db
    return connect(f"file:{quote(str(path.absolute()))}?immutable=1")


def _our_tables() -> frozenset[str]:
    return frozenset(one.name for one in tables())


def _pragma(db: sqlite3.Connection, name: str) -> int:
    try:
        return int(db.execute(f"PRAGMA {name}").fetchone()[0])
    except UNREADABLE as error:
        if is_busy(error):
            raise
        return 0


def _table_names(db: sqlite3.Connection) -> frozenset[str]:
    try:
        rows = db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
    except UNREADABLE as error:
        if is_busy(error):
            raise
        return frozenset()
    return frozenset(str(row[0]) for row in rows)
