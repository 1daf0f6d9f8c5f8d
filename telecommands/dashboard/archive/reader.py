"""Reading the ground archive, beside its writer and without waiting for it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, LifoQueue
from types import TracebackType
from typing import Final, NamedTuple

from typing_extensions import Self

from telecommands.dashboard.archive.writer import check_version, connect
from telecommands.dashboard.points.reduction import Gap, Sample
from telecommands.ground.errors import ArchiveError

QUERY_S: Final = 5.0
"""No query takes longer."""

_STEPS: Final = 20_000  # of SQLite's virtual machine between two looks at the clock


_ENDS: Final = (
    "SELECT (SELECT min(t) FROM packet WHERE topic = ?),"
    " (SELECT max(t) FROM packet WHERE topic = ?)"
)


class StoredBody(NamedTuple):
    """A packet's place in time and its body in msgpack."""

    t: int
    boot: int
    seq: int
    body: bytes


class ArchiveReader:
    """Read-only.  One thread at a time; a context manager.  Times are UTC nanoseconds.

    Raises :class:`ArchiveError` where the file is none, and where a query takes more than 5 s.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.is_file():
            raise ArchiveError(path, "is not there", "Give the file that the dashboard writes")
        self._connection = connect(path, "ro")
        try:
            with self._told():
                if check_version(path, self._connection) == 0:
                    raise ArchiveError(path, "is no archive of telemetry", "Give another file")
        except BaseException:
            self.close()
            raise

    @contextmanager
    def deadline(self, seconds: float = QUERY_S) -> Iterator[None]:
        """Give up the queries inside after so long."""
        end = time.monotonic() + seconds
        self._connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
        try:
            yield
        finally:
            self._connection.set_progress_handler(None, 0)

    def count(self, topic: str, start: int, end: int, most: int) -> int:
        """Packets of that time, counted to ``most`` only."""
        sql = (
            "SELECT count(*) FROM (SELECT 1 FROM packet WHERE topic = (SELECT id FROM topic"
            " WHERE name = ?) AND t BETWEEN ? AND ? LIMIT ?)"
        )
        return int(self._one(sql, topic, start, end, most)[0])

    def bodies(
        self, topic: str, start: int, end: int, most: int = -1, *, newest: bool = False
    ) -> Iterator[StoredBody]:
        """Packets of that time, ascending; the first ``most``, or descending from the newest."""
        order = "DESC" if newest else "ASC"
        sql = (
            "SELECT t, boot, seq, body FROM packet WHERE topic = (SELECT id FROM topic"  # noqa: S608
            f" WHERE name = ?) AND t BETWEEN ? AND ? ORDER BY t {order}, id {order} LIMIT ?"
        )
        with self._told():
            for row in self._connection.execute(sql, (topic, start, end, most)):
                yield StoredBody(*row)

    def rollups(self, key: str, level: int, start: int, end: int) -> Iterator[Sample]:
        """Lowest and highest of each span of ``level`` nanoseconds, in their order of time."""
        sql = (
            "SELECT low_t, low, high_t, high FROM rollup WHERE level = ? AND key = (SELECT id FROM"
            " key WHERE name = ?) AND span BETWEEN ? AND ? ORDER BY span"
        )
        with self._told():
            rows = self._connection.execute(sql, (level, key, start // level, end // level))
            for low_t, low, high_t, high in rows:
                if low_t <= high_t:
                    yield Sample(low_t, low)
                    yield Sample(high_t, high)
                else:
                    yield Sample(high_t, high)
                    yield Sample(low_t, low)

    def gaps(self, topic: str, start: int, end: int) -> Iterator[Gap]:
        """Gaps that touch that time, ascending."""
        sql = (
            "SELECT after, before, missing FROM gap WHERE topic = (SELECT id FROM topic WHERE"
            " name = ?) AND after <= ? AND before >= ? ORDER BY after"
        )
        with self._told():
            for row in self._connection.execute(sql, (topic, end, start)):
                yield Gap(*row)

    def dropped(self, topic: str | None) -> Iterator[Sample]:
        """How many packets were missing in all (of one topic) after each gap."""
        sql = (
            "SELECT gap.before, gap.missing FROM gap JOIN topic ON topic.id = gap.topic"
            " WHERE ? IS NULL OR topic.name = ? ORDER BY gap.before"
        )
        total = 0
        with self._told():
            for t, missing in self._connection.execute(sql, (topic, topic)):
                total += missing
                yield Sample(t, total)

    def link(self, start: int, end: int) -> Iterator[Sample]:
        """1 and 0: when the link came and went."""
        sql = "SELECT t, up FROM link WHERE t BETWEEN ? AND ? ORDER BY t"
        with self._told():
            for row in self._connection.execute(sql, (start, end)):
                yield Sample(*row)

    def known_keys(self) -> list[str]:
        """Of all numbers that ever came."""
        with self._told():
            return [name for (name,) in self._connection.execute("SELECT name FROM key")]

    def extent(self) -> tuple[int, int | None, int | None]:
        """How many packets there are, and the times of the first and the last."""
        count = self._one("SELECT coalesce(max(id), 0) FROM packet")[0]
        ends = [
            self._one(_ENDS, number, number) for number, *_ in self._all("SELECT id FROM topic")
        ]
        known = [end for end in ends if end[0] is not None]
        if not known:
            return int(count), None, None
        return int(count), min(one[0] for one in known), max(one[1] for one in known)

    def interrupt(self) -> None:
        """End the query that runs now, from another thread."""
        self._connection.interrupt()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _one(self, sql: str, *values: object) -> tuple[int, ...]:
        return self._all(sql, *values)[0]

    def _all(self, sql: str, *values: object) -> list[tuple[int, ...]]:
        with self._told():
            return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            cause = f"cannot be read ({error})"
            raise ArchiveError(self._path, cause, "Ask for less at once, or try again") from error


class ReaderPool:
    """A few readers that threads borrow."""

    def __init__(self, path: Path, size: int) -> None:
        self._readers = [ArchiveReader(path) for _ in range(size)]
        self._free: LifoQueue[ArchiveReader] = LifoQueue()
        for reader in self._readers:
            self._free.put_nowait(reader)

    @contextmanager
    def borrowed(self) -> Iterator[ArchiveReader]:
        """A reader whose queries end in time; :class:`ArchiveError` where none is free in time."""
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
        """End the queries that run now: the bridge is about to stop."""
        for reader in self._readers:
            reader.interrupt()

    def close(self) -> None:
        """Close all of them; nobody may have one any more."""
        for reader in self._readers:
            reader.close()
