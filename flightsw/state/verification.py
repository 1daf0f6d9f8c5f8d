"""Whether a state file holds what was written: its layout, its pages, each row, each seal."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator, Sequence
from typing import Final, NamedTuple

from flightsw.state.mark import StateMark
from flightsw.state.schema import (
    APPLICATION_ID,
    MODULUS,
    SCHEMA,
    TRANSACTIONS,
    VERSION,
    Table,
    layout,
    read_layout,
    row_checksum,
    seals_table,
    tables,
)

UNREADABLE: Final = (sqlite3.Error, MemoryError, OverflowError, UnicodeDecodeError)
"""What a damaged file raises: MemoryError for a length that makes no sense, UnicodeDecodeError for
a name in an error's message."""

_LOWEST: Final = -(2**63)


class Seal(NamedTuple):
    """What a table's rows must add up to; ``high`` is the highest rowid there ever was."""

    rows: int
    digest: int
    high: int


class TableScan:
    """Reads a table row by row; afterwards it knows what was found.

    ``rows`` and ``digest`` count the sound rows.  ``bad`` maps the rowids of rows whose checksum
    does not fit to that checksum.  ``broken`` is set if a stretch could not be read at all.
    """

    def __init__(self, db: sqlite3.Connection, table: Table) -> None:
        self._db = db
        self._table = table
        self.rows = 0
        self.digest = 0
        self.high = 0
        self.bad: dict[int, int] = {}
        self.broken = False
        self._last_bad: tuple[object, ...] = ()

    def sound_rows(self) -> Iterator[tuple[int, tuple[object, ...]]]:
        """Rowid and values of each sound row, from both ends if the middle cannot be read."""
        last = yield from self._read(_LOWEST, "ASC")
        if self.broken:
            yield from self._read(last, "DESC")

    def fits(self, seal: Seal | None) -> bool:
        """Whether every row is there, sound, and the latest."""
        found = not (self.bad or self.broken)
        return found and seal is not None and (self.rows, self.digest) == seal[:2]

    def only_bad_rows_differ(self, seal: Seal | None) -> bool:
        """Whether the sound rows are the latest: with the bad rows' checksums they add up."""
        if seal is None or self.broken or self.rows + len(self.bad) != seal.rows:
            return False
        return (self.digest + sum(self.bad.values())) % MODULUS == seal.digest

    def intact_row(self, seal: Seal | None) -> tuple[object, ...]:
        """The values of the one bad row, if they complete the table; else nothing."""
        values = self._last_bad
        checksum = _checksum(self._table, values) if len(self.bad) == 1 else None
        if seal is None or checksum is None or self.broken or self.rows + 1 != seal.rows:
            return ()
        return values if (self.digest + checksum) % MODULUS == seal.digest else ()

    def _read(self, after: int, order: str) -> Generator[tuple[int, tuple[object, ...]], None, int]:
        table, last = self._table, after
        query = (
            f"SELECT rowid, checksum, {table.listed} FROM {table.name}"  # noqa: S608 - our names
            f" WHERE rowid > ? ORDER BY rowid {order}"
        )
        before: int | None = None
        try:
            for rowid, checksum, *values in self._db.execute(query, (after,)):
                if before is not None and (rowid > before) is not (order == "ASC"):
                    self.broken = True  # a page that is linked twice
                    return last
                before = rowid
                last = max(last, rowid)
                if isinstance(checksum, int) and checksum == _checksum(table, values):
                    self.rows += 1
                    self.digest = (self.digest + checksum) % MODULUS
                    self.high = max(self.high, rowid)
                    yield rowid, tuple(values)
                else:
                    self.bad[rowid] = checksum if isinstance(checksum, int) else 0
                    self._last_bad = tuple(values)
        except UNREADABLE as error:
            if is_busy(error):
                raise
            self.broken = True
        return last


def faults_of(db: sqlite3.Connection, mark: StateMark | None) -> list[str]:
    """What is wrong with a state file; empty if it is sound.

    ``mark`` is what is known to have been written.  Raises :class:`sqlite3.OperationalError` if
    another process holds the file.
    """
    db.text_factory = readable_text
    try:
        faults = [*_faults_of_layout(db)] or [*_faults_of_tables(db)] or [*_faults_of_pages(db)]
        done = read_seal(db, TRANSACTIONS)
        if done and mark and done.rows < mark.transactions:
            faults.append(f"{mark.transactions - done.rows} transactions are missing")
    except UNREADABLE as error:
        if is_busy(error):
            raise
        return [str(error) or type(error).__name__]
    finally:
        db.text_factory = str
    return faults


def digest_of(db: sqlite3.Connection) -> int:
    """The sum of the checksums of all rows, as the seals have it."""
    return sum(int(row[0]) for row in db.execute("SELECT digest FROM seals")) % MODULUS


def read_seal(db: sqlite3.Connection, name: str) -> Seal | None:
    """A table's seal; None if it is missing or damaged."""
    try:
        row = db.execute(
            "SELECT checksum, name, rows, digest, high FROM seals WHERE name = ?", (name,)
        ).fetchone()
    except UNREADABLE as error:
        if is_busy(error):
            raise
        return None
    if row is None or row[0] != _checksum(seals_table(), row[1:]):
        return None
    return Seal(*row[2:])


def readable_text(content: bytes) -> str:
    """Text of a file that may be damaged; its checksum says whether it is."""
    return content.decode("utf-8", "replace")


def is_busy(error: BaseException) -> bool:
    """Whether the file is only held by another process."""
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def _faults_of_layout(db: sqlite3.Connection) -> Iterator[str]:
    for name, expected in (("application_id", APPLICATION_ID), ("user_version", VERSION)):
        found = db.execute(f"PRAGMA {name}").fetchone()[0]
        if found != expected:
            yield f"{name} is {found}, not {expected}"
    if read_layout(db) != layout():
        yield "the tables are not those of this version"


def _faults_of_tables(db: sqlite3.Connection) -> Iterator[str]:
    if read_seal(db, TRANSACTIONS) is None or read_seal(db, SCHEMA) is None:
        yield "a seal is damaged"
    numbers = dict(db.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
    for table in tables():
        seal, scan = read_seal(db, table.name), TableScan(db, table)
        for _ in scan.sound_rows():
            pass
        if not scan.fits(seal):
            yield f"rows of {table.name} are damaged or missing"
        if seal and table.numbered and numbers.get(table.name, 0) != seal.high:
            yield f"the numbers of {table.name} are damaged"


def _faults_of_pages(db: sqlite3.Connection) -> Iterator[str]:
    found = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        yield str(found)


def _checksum(table: Table, values: Sequence[object]) -> int | None:
    try:
        return row_checksum(table.name, *values)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):  # a value of no type that we write
        return None
