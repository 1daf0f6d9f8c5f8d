"""Reads the ground archive while it is being written."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Final, NamedTuple

from telecommands.dashboard.archive.writer import check_version, connect
from telecommands.dashboard.points.reduction import Gap, Sample
from telecommands.ground.closable import Closable
from telecommands.ground.errors import ArchiveError

QUERY_S: Final = 5.0
"""Time limit of a query."""

_STEPS: Final = 20_000  # of SQLite's virtual machine between two checks of the time limit

_ENDS: Final = (
    "SELECT (SELECT min(t) FROM packet WHERE topic = ?),"
    " (SELECT max(t) FROM packet WHERE topic = ?)"
)


class StoredBody(NamedTuple):
    """A packet's time, boot and sequence number, and its body in msgpack."""

    t: int
    boot: int
    seq: int
    body: bytes


class ArchiveReader(Closable):
    """Read-only.  One thread at a time; a context manager.  Times are UTC nanoseconds.

    Raises :class:`ArchiveError` if the file is not an archive, or a query takes more than 5 s.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.is_file():
            raise ArchiveError(path, "does not exist", "Give the file that the dashboard writes")
        self._connection = connect(path, "ro")
        try:
            with self._guarded():
                if check_version(path, self._connection) == 0:
                    raise ArchiveError(path, "is not a telemetry archive", "Give another file")
        except BaseException:
            self.close()
            raise

    @contextmanager
    def deadline(self, seconds: float = QUERY_S) -> Iterator[None]:
        """Abort queries in this context after ``seconds``."""
        end = time.monotonic() + seconds
        self._connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
        try:
            yield
        finally:
            self._connection.set_progress_handler(None, 0)

    def count(self, topic: str, start: int, end: int, most: int) -> int:
        """Number of packets in that time, at most ``most``."""
        sql = (
            "SELECT count(*) FROM (SELECT 1 FROM packet WHERE topic = (SELECT id FROM topic"
            " WHERE name = ?) AND t BETWEEN ? AND ? LIMIT ?)"
        )
        return int(self._one(sql, topic, start, end, most)[0])

    def bodies(
        self, topic: str, start: int, end: int, most: int = -1, *, newest: bool = False
    ) -> Iterator[StoredBody]:
        """At most ``most`` packets in that time, ascending; with ``newest`` descending."""
        order = "DESC" if newest else "ASC"
        sql = (
            "SELECT t, boot, seq, body FROM packet WHERE topic = (SELECT id FROM topic"  # noqa: S608
            f" WHERE name = ?) AND t BETWEEN ? AND ? ORDER BY t {order}, id {order} LIMIT ?"
        )
        with self._guarded():
            for row in self._connection.execute(sql, (topic, start, end, most)):
                yield StoredBody(*row)

    def rollups(self, key: str, level: int, start: int, end: int) -> Iterator[Sample]:
        """Lowest and highest value of each span of ``level`` nanoseconds, ascending in time."""
        sql = (
            "SELECT low_t, low, high_t, high FROM rollup WHERE level = ? AND key = (SELECT id FROM"
            " key WHERE name = ?) AND span BETWEEN ? AND ? ORDER BY span"
        )
        with self._guarded():
            rows = self._connection.execute(sql, (level, key, start // level, end // level))
            for low_t, low, high_t, high in rows:
                if low_t <= high_t:
                    yield Sample(low_t, low)
                    yield Sample(high_t, high)
                else:
                    yield Sample(high_t, high)
                    yield Sample(low_t, low)

    def gaps(self, topic: str, start: int, end: int) -> Iterator[Gap]:
        """Gaps that overlap that time, ascending."""
        sql = (
            "SELECT after, before, missing FROM gap WHERE topic = (SELECT id FROM topic WHERE"
            " name = ?) AND after <= ? AND before >= ? ORDER BY after"
        )
        with self._guarded():
            for row in self._connection.execute(sql, (topic, end, start)):
                yield Gap(*row)

    def dropped(self, topic: str | None) -> Iterator[Sample]:
        """Total of missing packets (of one topic, or of all) after each gap."""
        sql = (
            "SELECT gap.before, gap.missing FROM gap JOIN topic ON topic.id = gap.topic"
            " WHERE ? IS NULL OR topic.name = ? ORDER BY gap.before"
        )
        total = 0
        with self._guarded():
            for t, missing in self._connection.execute(sql, (topic, topic)):
                total += missing
                yield Sample(t, total)

    def link(self, start: int, end: int) -> Iterator[Sample]:
        """The link's changes: 1 for up, 0 for down."""
        sql = "SELECT t, up FROM link WHERE t BETWEEN ? AND ? ORDER BY t"
        with self._guarded():
            for row in self._connection.execute(sql, (start, end)):
                yield Sample(*row)

    def arguments_of(self, telecommand: str) -> str:
        """JSON of the arguments of a telecommand sent from the dashboard; otherwise empty."""
        found = self._all("SELECT args FROM sent WHERE id = ?", telecommand)
        return str(found[0][0]) if found else ""

    def bridge(self) -> str:
        """Id of the bridge that writes this archive; empty if no bridge of this release did."""
        tables = self._all("SELECT 1 FROM sqlite_schema WHERE name = 'bridge'")
        found = self._all("SELECT id FROM bridge") if tables else []
        return str(found[0][0]) if found else ""

    def known_keys(self) -> list[str]:
        """Keys of all archived numbers."""
        with self._guarded():
            return [name for (name,) in self._connection.execute("SELECT name FROM key")]

    def extent(self) -> tuple[int, int | None, int | None]:
        """Number of packets, and the times of the first and the last."""
        count = self._one("SELECT coalesce(max(id), 0) FROM packet")[0]
        ends = [
            self._one(_ENDS, number, number) for number, *_ in self._all("SELECT id FROM topic")
        ]
        known = [end for end in ends if end[0] is not None]
        if not known:
            return int(count), None, None
        return int(count), min(one[0] for one in known), max(one[1] for one in known)

    def interrupt(self) -> None:
        """Abort the running query, from another thread."""
        self._connection.interrupt()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _one(self, sql: str, *values: object) -> tuple[int, ...]:
        return self._all(sql, *values)[0]

    def _all(self, sql: str, *values: object) -> list[tuple[int, ...]]:
        with self._guarded():
            return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            cause = f"cannot be read ({error})"
            raise ArchiveError(self._path, cause, "Request a shorter time, or try again") from error


class ReaderPool:
    """Readers that threads borrow."""

    def __init__(self, path: Path, size: int) -> None:
        self._readers = [ArchiveReader(path) for _ in range(size)]
        self._free: LifoQueue[ArchiveReader] = LifoQueue()
        for reader in self._readers:
            self._free.put_nowait(reader)

    @contextmanager
    def borrowed(self) -> Iterator[ArchiveReader]:
        """A reader with a time limit; raises :class:`ArchiveError` if none is free in time."""
        try:
            reader = self._free.get(timeout=QUERY_S)
        except Empty:
            raise ArchiveError("the archive", "is busy", "Try again in a moment") from None
        try:
            with reader.deadline():
                yield reader
        finally:
            self._free.put_nowait(reader)

    def interrupt(self) -> None:
        """Abort the running queries before the bridge stops."""
        for reader in self._readers:
            reader.interrupt()

    def close(self) -> None:
        """Close all readers; none may be borrowed."""
        for reader in self._readers:
            reader.close()
