"""The operators' log: the page's objects as JSON, in a SQLite file beside the archive.

Each object has a revision, so that two pages cannot overwrite what the other one wrote.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final, NamedTuple

from telecommands.dashboard.archive.writer import connect, guarded, make_private
from telecommands.ground.closable import Closable
from telecommands.ground.errors import LogConflict, LogFull, UsageError

MOST_OBJECT_BYTES: Final = 4 << 20
MOST_BYTES: Final = 64 << 20
MOST_OBJECTS: Final = 1000
MOST_KEY: Final = 100
"""Characters of a key."""

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS object"
    " (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID"
)
_OTHERS: Final = "SELECT count(*), coalesce(sum(length(body)), 0) FROM object WHERE key <> ?"
_CURE: Final = "Export the log, and start the dashboard with another --archive"


class LogObject(NamedTuple):
    """An object's JSON, and how often it was written."""

    revision: int
    body: bytes


class OperatorsLog(Closable):
    """Only its owner may read the file.  For any thread; a context manager.

    Raises :class:`~telecommands.ground.errors.ArchiveError` if the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        make_private(path)
        with guarded(path):
            self._connection = connect(path, "rwc")
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute(_SCHEMA)
            except BaseException:
                self._connection.close()
                raise

    def get(self, key: str) -> LogObject | None:
        """The object; None if there is none of this key."""
        with self._lock, guarded(self._path):
            sql = "SELECT revision, body FROM object WHERE key = ?"
            found = self._connection.execute(sql, (key,)).fetchone()
        return None if found is None else LogObject(*found)

    def put(self, key: str, revision: int, body: bytes) -> int:
        """Write the object if it still has ``revision`` (0: it is new); return the next one.

        Raises :class:`LogConflict` if it has another one, :class:`LogFull` if there is no room.
        """
        if len(key) > MOST_KEY:
            cause = f"is not a key of the log: it has more than {MOST_KEY} characters"
            raise UsageError(f"{key:.40}…", cause, "Give a shorter one")
        if len(body) > MOST_OBJECT_BYTES:
            cause = f"would have more than {MOST_OBJECT_BYTES >> 20} MiB"
            raise LogFull("the operator's log", cause, "Export the log, and remove entries")
        with self._lock, guarded(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._check(key, revision, len(body))
                sql = "INSERT OR REPLACE INTO object VALUES (?, ?, ?)"
                self._connection.execute(sql, (key, revision + 1, body))
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        return revision + 1

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _check(self, key: str, revision: int, size: int) -> None:
        sql = "SELECT revision FROM object WHERE key = ?"
        found = self._connection.execute(sql, (key,)).fetchone()
        if (0 if found is None else found[0]) != revision:
            raise LogConflict("the operator's log", "was changed by another page", "Load it again")
        count, others = self._connection.execute(_OTHERS, (key,)).fetchone()
        if count >= MOST_OBJECTS or others + size > MOST_BYTES:
            cause = f"is full: {MOST_OBJECTS} objects, or {MOST_BYTES >> 20} MiB"
            raise LogFull("the operator's log", cause, _CURE)
