"""A damaged state becomes a sound one again, row by row, and what could not be saved is named.

The rows come from the state file, the rest from the last-good copy.  Because a table's seal says
what its rows add up to, a table completed from the copy is known to be exact, or known not to be:
then the copy's rows are older versions, and the loss says which to distrust.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec

from flightsw.state.mark import StateMark
from flightsw.state.schema import TRANSACTIONS, Table, connect, lay_out, tables
from flightsw.state.sources import Source, opened
from flightsw.state.verification import UNREADABLE, Seal, TableScan, digest_of, is_busy, read_seal

_SPARE_NUMBERS: Final = 1000  # left out after a loss, so that no number is given twice


class StateLoss(msgspec.Struct, frozen=True):
    """What was found damaged, and what of it could not be restored.

    ``found`` is the first damage, in words.  ``transactions`` counts the latest ones that are gone
    as a whole.  ``lost`` counts rows by table that are gone or older than they were; ``older``
    holds the ids of rows by table that came from the copy in their place.  In tables named by
    ``unsure`` each row may be an older version, and rows may be missing.
    """

    found: str
    transactions: int = 0
    lost: dict[str, int] = {}
    older: dict[str, tuple[str, ...]] = {}
    unsure: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether everything was restored, exactly."""
        return not (self.transactions or self.lost or self.unsure)

    def distrusted(self, table: str) -> tuple[str, ...] | None:
        """Ids of a table's rows that may be older versions; None: any of them may."""
        return None if table in self.unsure else self.older.get(table, ())

    def as_text(self) -> str:
        """What was lost, for people."""
        parts = [f"the last {self.transactions} transactions"] if self.transactions else []
        parts += [f"{count} rows of {table}" for table, count in self.lost.items()]
        parts += [f"rows of {', '.join(self.unsure)}"] if self.unsure else []
        return ", ".join(parts)


def restored(
    path: Path, others: Sequence[Path], mark: StateMark | None
) -> tuple[sqlite3.Connection, StateLoss | None]:
    """The state in memory, from ``path`` and ``others``, and the loss; None: ``path`` was sound.

    ``mark`` is what is known to have been written.  Writes no file.  Raises
    :class:`~flightsw.errors.StateUnusable` for a file that is newer than this software or not
    ours, :class:`sqlite3.OperationalError` if another process holds it.
    """
    memory = connect(":memory:")
    with ExitStack() as files:
        main, *rest = [files.enter_context(opened(one, mark)) for one in (path, *others)]
        copies = [one for one in rest if one is not None]
        if main is not None:
            main.refuse_foreign(path, alone=not copies)
            if not main.faults:
                main.db.backup(memory)
                return memory, None
        lay_out(memory)
        memory.execute("PRAGMA foreign_keys = OFF")
        memory.execute("BEGIN")
        if main is not None and main.has_no_checksums:
            loss = _take_over(main, memory)
        else:
            loss = _merge(main, copies, memory, mark or StateMark(0, -1))
        memory.execute("COMMIT")
        memory.execute("PRAGMA foreign_keys = ON")
    return memory, loss


def _merge(
    main: Source | None, copies: Sequence[Source], memory: sqlite3.Connection, mark: StateMark
) -> StateLoss:
    found = main.faults[0] if main is not None else "the file is missing"
    first, second = _newest_first(main, copies)
    if first is None:
        for table in tables():  # no table has given more numbers than there were transactions
            _continue_numbers(memory, table, mark.transactions + _SPARE_NUMBERS)
        _set_transactions(memory, mark.transactions)
        return StateLoss(found, mark.transactions, unsure=tuple(table.name for table in tables()))
    done = first.transactions
    missing = 0 if done is None else max(0, mark.transactions - done)
    lost: dict[str, int] = {}
    older: dict[str, tuple[str, ...]] = {}
    unsure: list[str] = []
    for table in tables():
        restoration = _Restoration(table, first.db, second.db if second else None, memory)
        if missing or restoration.unsure:
            unsure.append(table.name)
        elif restoration.lost:
            lost[table.name] = restoration.lost
            older[table.name] = restoration.older
    orphans = memory.execute(
        "DELETE FROM verifications WHERE id NOT IN (SELECT id FROM telecommands)"
    ).rowcount
    if orphans > 0 and "verifications" not in unsure:
        lost["verifications"] = lost.get("verifications", 0) + orphans
    _set_transactions(memory, max(done or 0, mark.transactions))
    if digest_of(memory) == mark.digest and (done or 0) <= mark.transactions:
        return StateLoss(found)  # each row is the latest, and none is missing
    return StateLoss(found, missing, lost, older, tuple(unsure))


def _newest_first(
    main: Source | None, copies: Sequence[Source]
) -> tuple[Source | None, Source | None]:
    """The two to restore from: the state file, unless a copy has more transactions than it."""
    sources = sorted(copies, key=lambda one: one.transactions or 0, reverse=True)
    if main is not None and main.table_names:
        done = main.transactions
        newer = bool(sources) and done is not None and (sources[0].transactions or 0) > done
        sources.insert(1 if newer else 0, main)
    return (*sources[:2], None, None)[:2]  # type: ignore[return-value]


class _Restoration:
    """One table: what is sound in the first source, the rest from the second.

    ``lost`` rows are gone or ``older`` than they were; ``unsure``: any row may be.
    """

    def __init__(
        self,
        table: Table,
        first: sqlite3.Connection,
        second: sqlite3.Connection | None,
        memory: sqlite3.Connection,
    ) -> None:
        self._table, self._memory = table, memory
        self._seal = read_seal(first, table.name)
        self._scan = TableScan(first, table)
        self._copy = None if second is None else TableScan(second, table)
        self.lost = 0
        self.older: tuple[str, ...] = ()
        self.unsure = False
        for _, values in self._scan.sound_rows():
            _insert(memory, table, values)
        if not self._complete():
            self.lost = len(self._scan.bad)
            self.unsure = not self._scan.only_bad_rows_differ(self._seal)
        self._continue_numbers()

    def _complete(self) -> bool:
        """Whether the table is exactly as it was last written."""
        if self._seal is None and not (self._scan.bad or self._scan.broken):
            return self._equals_copy()
        if self._fits():
            return True
        if values := self._scan.intact_row(self._seal):  # only its checksum is damaged
            return _insert(self._memory, self._table, values)
        if self._copy is None:
            return False
        rows = list(self._copy.sound_rows())
        filled = self._fill([values for rowid, values in rows if rowid in self._scan.bad])
        if self._fits():
            return True
        if not self._scan.only_bad_rows_differ(self._seal):
            filled += self._fill([values for rowid, values in rows if rowid not in self._scan.bad])
        self.older = tuple(filled)
        return self._fits()

    def _equals_copy(self) -> bool:
        """Without a seal: whether nothing changed since the copy."""
        if self._copy is None:
            return False
        for _ in self._copy.sound_rows():
            pass
        return self._copy.fits(Seal(self._scan.rows, self._scan.digest, 0))

    def _fits(self) -> bool:
        now = read_seal(self._memory, self._table.name)
        return now is not None and self._seal is not None and now[:2] == self._seal[:2]

    def _fill(self, rows: Sequence[tuple[object, ...]]) -> list[str]:
        key = self._table.columns.index(self._table.key)
        return [str(row[key]) for row in rows if _insert(self._memory, self._table, row)]

    def _continue_numbers(self) -> None:
        highs = [self._scan.high, self._copy.high if self._copy else 0]
        if self._seal is not None:
            _continue_numbers(self._memory, self._table, max(self._seal.high, *highs))
        else:
            _continue_numbers(self._memory, self._table, max(highs) + _SPARE_NUMBERS)


def _take_over(main: Source, memory: sqlite3.Connection) -> StateLoss | None:
    """A file without checksums: what it holds can only be read, not proved."""
    found = ""
    for table in tables():
        if table.name not in main.table_names:
            continue
        try:
            rows = main.db.execute(f"SELECT {table.listed} FROM {table.name}")  # noqa: S608
            for row in rows:
                _insert(memory, table, row)
            numbers = "SELECT seq FROM sqlite_sequence WHERE name = ?"
            high = main.db.execute(numbers, (table.name,)).fetchone()
            _continue_numbers(memory, table, high[0] if high else 0)
        except UNREADABLE as error:
            if is_busy(error):
                raise
            found = found or str(error)
    found = found or main.db.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found == "ok":
        return None
    return StateLoss(found, unsure=tuple(table.name for table in tables()))


def _insert(db: sqlite3.Connection, table: Table, values: Sequence[object]) -> bool:
    """Whether there was no row with one of its keys, so that it was inserted."""
    places = ", ".join("?" * len(values))
    insertion = f"INSERT OR IGNORE INTO {table.name} ({table.listed}) VALUES ({places})"  # noqa: S608
    return db.execute(insertion, values).rowcount > 0


def _continue_numbers(db: sqlite3.Connection, table: Table, high: int) -> None:
    """Numbers are given above ``high``."""
    db.execute("UPDATE seals SET high = max(high, ?) WHERE name = ?", (high, table.name))
    if table.numbered:
        db.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table.name,))
        db.execute(
            "INSERT INTO sqlite_sequence SELECT name, high FROM seals WHERE name = ? AND high > 0",
            (table.name,),
        )


def _set_transactions(db: sqlite3.Connection, count: int) -> None:
    db.execute("UPDATE seals SET rows = ? WHERE name = ?", (count, TRANSACTIONS))
