"""The service's memory: one SQLite file that outlives power cuts, and the lock that guards it."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from typing_extensions import Self

from flightsw.errors import StateInUse, StateUnavailable, StateUnusable

SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x464C5357
"""``FLSW``: distinguishes our file from any other SQLite file."""

_BUSY_SECONDS: Final = 2.0  # how long another process (a backup) may hold the file

_SCHEMA: Final = """
CREATE TABLE boots (
    boot INTEGER PRIMARY KEY AUTOINCREMENT, started_at INTEGER NOT NULL,
    cause TEXT NOT NULL, ended_at INTEGER, clean INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE sequence_windows (key_id TEXT PRIMARY KEY, window BLOB NOT NULL);
CREATE TABLE telecommands (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
    key_id TEXT NOT NULL, received_at INTEGER NOT NULL, closed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE verifications (
    id TEXT NOT NULL REFERENCES telecommands (id) ON DELETE CASCADE,
    number INTEGER NOT NULL, stage BLOB NOT NULL, PRIMARY KEY (id, number)
);
CREATE TABLE schedule (
    entry TEXT PRIMARY KEY, at INTEGER NOT NULL, name TEXT NOT NULL, args BLOB NOT NULL,
    if_missed TEXT NOT NULL, key_id TEXT NOT NULL
);
CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL UNIQUE, telecommand TEXT NOT NULL,
    request BLOB NOT NULL, scene TEXT NOT NULL, priority INTEGER NOT NULL, deadline INTEGER,
    state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL,
    started_at INTEGER, ended_at INTEGER, code TEXT, cause TEXT NOT NULL DEFAULT ''
);
CREATE INDEX jobs_by_turn ON jobs (state, priority DESC, number);
CREATE TABLE products (
    number INTEGER PRIMARY KEY AUTOINCREMENT, product TEXT NOT NULL UNIQUE, job TEXT NOT NULL,
    kind TEXT NOT NULL, downlink_class TEXT NOT NULL, class_order INTEGER NOT NULL,
    name TEXT NOT NULL, path TEXT NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL,
    state TEXT NOT NULL, priority INTEGER NOT NULL DEFAULT 0, clear REAL NOT NULL,
    created_at INTEGER NOT NULL, confirmed INTEGER NOT NULL DEFAULT 0, delivered_at INTEGER
);
CREATE INDEX products_by_turn
    ON products (state, priority DESC, class_order, clear DESC, number);
"""


class StateFile:
    """One connection, one writer at a time; every change is on disk when its transaction ends.

    Raises, when opened: :class:`StateInUse` if another service holds the folder,
    :class:`StateUnusable` if the file is corrupt, newer than this software or not ours.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "state.sqlite"
        self._lock = threading.RLock()
        self._guard = _locked(folder)
        try:
            self._db = _opened(self.path)
        except BaseException:
            os.close(self._guard)
            raise

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Changes that happen together or not at all; transactions may be nested.

        Raises :class:`StateUnavailable` if the disk is full or the file is locked.
        """
        with self._lock:
            if self._db.in_transaction:  # part of the outer one
                yield self._db
                return
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except sqlite3.OperationalError as error:
                self._roll_back()
                raise StateUnavailable(
                    self.path,
                    f"cannot be written ({error})",
                    "Free disk space, or close what locks the file",
                ) from error
            except BaseException:
                self._roll_back()
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read the state."""
        with self._lock:
            try:
                yield self._db
            except sqlite3.OperationalError as error:
                raise StateUnavailable(
                    self.path,
                    f"cannot be read ({error})",
                    "Free disk space, or close what locks the file",
                ) from error

    def fact(self, name: str) -> bytes | None:
        """A named value that :meth:`set_fact` kept, or None."""
        with self.reading() as db:
            row = db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def set_fact(self, name: str, value: bytes | None) -> None:
        """Keep a named value; None forgets it."""
        with self.transaction() as db:
            if value is None:
                db.execute("DELETE FROM facts WHERE name = ?", (name,))
            else:
                db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def close(self) -> None:
        """Write everything into the one file and release the folder; may be called again."""
        with self._lock:
            if self._guard < 0:
                return
            self._db.close()
            os.close(self._guard)
            self._guard = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")


def _locked(folder: Path) -> int:
    """An open descriptor whose lock ends with the process, however that ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        guard = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        cause = f"cannot be used ({error.strerror})"
        raise StateUnusable(folder, cause, "Give a folder that the service may write") from error
    try:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(guard)
        cure = "Stop the other service, or give this one another state_dir"
        raise StateInUse(folder, "is used by another service", cure) from error
    return guard


def _opened(path: Path) -> sqlite3.Connection:
    fresh = not path.exists()
    db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        path.chmod(0o600)
        if not fresh:
            _check(db, path)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        if db.execute("PRAGMA user_version").fetchone()[0] == 0:
            _lay_out(db)
    except sqlite3.DatabaseError as error:
        db.close()
        busy = isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
        cure = "Close what holds the file" if busy else "Move the file away: a new one is made"
        raise StateUnusable(path, f"cannot be opened ({error})", cure) from error
    except BaseException:
        db.close()
        raise
    return db


def _check(db: sqlite3.Connection, path: Path) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    application = db.execute("PRAGMA application_id").fetchone()[0]
    if version == 0 and application == 0 and not db.execute("PRAGMA schema_version").fetchone()[0]:
        return  # a power cut before the first table
    if application != APPLICATION_ID:
        raise StateUnusable(path, "is not a state file of flightsw", "Give another state_dir")
    if version > SCHEMA_VERSION:
        raise StateUnusable(
            path,
            f"has schema {version}, but this software reads up to {SCHEMA_VERSION}",
            "Install the newer software again, or move the file away",
        )
    found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise StateUnusable(path, f"is corrupt ({found})", "Move the file away: a new one is made")


def _lay_out(db: sqlite3.Connection) -> None:
    db.executescript(
        f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id = {APPLICATION_ID};"
        f" PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
    )
