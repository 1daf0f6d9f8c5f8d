"""The tables, each row with a checksum and each table with a seal over all of its rows.

A table is declared plainly; :func:`lay_out` adds the rest, so that no room has to know of it: a
stored column ``checksum`` over the row's values, and triggers that keep the table's row in
``seals``.  A seal holds how many rows there are, the sum of their checksums, and the highest rowid
there ever was: a row that is missing, stale or from elsewhere shows in it.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

VERSION: Final = 2
APPLICATION_ID: Final = 0x464C5357
"""``FLSW``: distinguishes our file from any other SQLite file."""

MODULUS: Final = 1 << 61
"""Sums of checksums are kept modulo this: SQLite's integers have 63 bits and a sign."""

TRANSACTIONS: Final = "transactions"
"""Name of the seal whose ``rows`` counts the transactions."""
SCHEMA: Final = "schema"
"""Name of the seal whose ``rows`` is :data:`VERSION`, which the file's header says too."""

_BUSY_SECONDS: Final = 2.0  # how long another process (a backup) may hold the file
_CHECKSUM_BYTES: Final = 8
_SPARE_BITS: Final = 4  # so that a sum with an addition and a removal fits an integer

_TABLES: Final = """
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
CREATE TABLE products (
    number INTEGER PRIMARY KEY AUTOINCREMENT, product TEXT NOT NULL UNIQUE, job TEXT NOT NULL,
    kind TEXT NOT NULL, downlink_class TEXT NOT NULL, class_order INTEGER NOT NULL,
    name TEXT NOT NULL, path TEXT NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL,
    state TEXT NOT NULL, priority INTEGER NOT NULL DEFAULT 0, clear REAL NOT NULL,
    created_at INTEGER NOT NULL, confirmed INTEGER NOT NULL DEFAULT 0, delivered_at INTEGER
);
"""
_INDEXES: Final = """
CREATE INDEX jobs_by_turn ON jobs (state, priority DESC, number);
CREATE INDEX products_by_turn
    ON products (state, priority DESC, class_order, clear DESC, number);
"""
_SEALS: Final = """
CREATE TABLE seals (
    name TEXT PRIMARY KEY, rows INTEGER NOT NULL, digest INTEGER NOT NULL, high INTEGER NOT NULL
);
"""


@dataclass(frozen=True)
class Table:
    """A table's columns, checksum aside; ``key`` is the one that reports name its rows by.

    ``numbered``: its rows get numbers that are never given twice.
    """

    name: str
    columns: tuple[str, ...]
    key: str
    numbered: bool = False

    @property
    def listed(self) -> str:
        """The columns, as SQL lists them."""
        return ", ".join(self.columns)


def row_checksum(table: str, *values: str | bytes | float | None) -> int:
    """60 bits over a row's values and the table that it belongs to."""
    encoded = msgspec.msgpack.encode((table, *values))
    digest = hashlib.blake2b(encoded, digest_size=_CHECKSUM_BYTES).digest()
    return int.from_bytes(digest, "big") >> _SPARE_BITS


def connect(database: Path | str) -> sqlite3.Connection:
    """Open a database, given as path or URI; transactions begin and end by statement only."""
    db = sqlite3.connect(
        database,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        uri=isinstance(database, str),
    )
    db.create_function("row_checksum", -1, row_checksum, deterministic=True)
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA recursive_triggers = ON")  # else REPLACE would pass the seals by
    return db


@cache
def tables() -> tuple[Table, ...]:
    """The tables that rooms keep their rows in."""
    with closing(sqlite3.connect(":memory:")) as plain:
        plain.executescript(_TABLES)
        return tuple(_table(plain, *row) for row in plain.execute(_PLAIN_TABLES).fetchall())


@cache
def seals_table() -> Table:
    """The table of the seals themselves."""
    return Table("seals", ("name", "rows", "digest", "high"), "name")


def lay_out(db: sqlite3.Connection) -> None:
    """Make the tables in an empty database."""
    seals = "".join(
        f"INSERT INTO seals VALUES ('{name}', {rows}, 0, 0);"  # noqa: S608 - our own names
        for name, rows in (
            (SCHEMA, VERSION), (TRANSACTIONS, 0), *((one.name, 0) for one in tables())
        )
    )  # fmt: skip
    db.executescript(
        f"BEGIN IMMEDIATE; {_sealed_tables()} {_INDEXES} {seals}"
        f" PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
    )


@cache
def layout() -> frozenset[tuple[str, ...]]:
    """What ``sqlite_master`` holds in a sound file: type, name, table and SQL of each object."""
    with closing(connect(":memory:")) as db:
        lay_out(db)
        return read_layout(db)


def read_layout(db: sqlite3.Connection) -> frozenset[tuple[str, ...]]:
    """The objects of a database, as :func:`layout` gives them."""
    return frozenset(db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall())


_PLAIN_TABLES: Final = (
    "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    " ORDER BY rowid"
)


def _table(plain: sqlite3.Connection, name: str, sql: str) -> Table:
    columns = tuple(row[1] for row in plain.execute(f"PRAGMA table_info({name})"))
    unique = (column for column in columns if f"{column} TEXT NOT NULL UNIQUE" in sql)
    return Table(name, columns, next(unique, columns[0]), "AUTOINCREMENT" in sql)


def _sealed_tables() -> str:
    with closing(sqlite3.connect(":memory:")) as plain:
        plain.executescript(_TABLES + _SEALS)
        declared = plain.execute(_PLAIN_TABLES).fetchall()
    kept = {one.name: one for one in (*tables(), seals_table())}
    return "".join(
        _with_checksum(kept[name], sql) + ("" if name == "seals" else _triggers(name))
        for name, sql in declared
    )


def _with_checksum(table: Table, sql: str) -> str:
    head, rest = sql.split("(", 1)
    column = f"checksum INTEGER NOT NULL AS (row_checksum('{table.name}', {table.listed})) STORED"
    return f"{head}({column},{rest};"


def _triggers(table: str) -> str:
    def seal(name: str, on: str, changes: str) -> str:
        return (
            f"CREATE TRIGGER {table}_{name} AFTER {on} ON {table} BEGIN"  # noqa: S608 - our names
            f" UPDATE seals SET {changes} WHERE name = '{table}'; END;"
        )

    return (
        seal(
            "inserted",
            "INSERT",
            f"rows = rows + 1, digest = (digest + NEW.checksum) % {MODULUS},"
            " high = max(high, NEW.rowid)",
        )
        + seal(
            "deleted",
            "DELETE",
            f"rows = rows - 1, digest = (digest - OLD.checksum + {MODULUS}) % {MODULUS}",
        )
        + seal(
            "updated",
            "UPDATE",
            f"digest = (digest - OLD.checksum + NEW.checksum + {MODULUS}) % {MODULUS}",
        )
    )
