"""The ground archive: every packet as received, gaps, and each number's extremes by minute.

One SQLite file (docs/decisions/0011).  One thread writes; each batch of packets, its gaps and its
roll-ups are one transaction, so that they stay consistent if the bridge is killed.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
import stat
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from telecommands.dashboard.alarms import Alarm, AlarmBook
from telecommands.dashboard.points.catalogue import PointCatalogue
from telecommands.dashboard.points.reduction import Extremes, Gap, is_number
from telecommands.dictionary import Event, Packet, Record
from telecommands.ground.closable import Closable
from telecommands.ground.errors import ArchiveError
from telecommands.ground.limits import parameters_in
from telecommands.ground.telemetry import PacketOrder, Place

VERSION: Final = 1
LEVELS_NS: Final = (60 * 10**9, 600 * 10**9)
"""Spans of the roll-ups: a day is plotted from minutes, a year from ten minutes."""

_BUSY_S: Final = 5.0
_SCHEMA: Final = """
CREATE TABLE topic (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL,
    boot INTEGER, seq INTEGER, t INTEGER);
CREATE TABLE packet (id INTEGER PRIMARY KEY, topic INTEGER NOT NULL, t INTEGER NOT NULL,
    boot INTEGER NOT NULL, seq INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX packet_by_time ON packet (topic, t);
CREATE TABLE gap (topic INTEGER NOT NULL, after INTEGER NOT NULL, before INTEGER NOT NULL,
    missing INTEGER NOT NULL);
CREATE INDEX gap_by_time ON gap (topic, after);
CREATE TABLE key (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL);
CREATE TABLE rollup (level INTEGER NOT NULL, key INTEGER NOT NULL, span INTEGER NOT NULL,
    count INTEGER NOT NULL, low REAL NOT NULL, low_t INTEGER NOT NULL, high REAL NOT NULL,
    high_t INTEGER NOT NULL, PRIMARY KEY (level, key, span)) WITHOUT ROWID;
CREATE TABLE link (t INTEGER NOT NULL, up INTEGER NOT NULL);
"""
# Apart from the schema, as archives of earlier releases lack them.
_ADDED: Final = (
    "CREATE TABLE IF NOT EXISTS sent (id TEXT PRIMARY KEY, args TEXT) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS alarm (id TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS bridge (id TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS parameter (name TEXT PRIMARY KEY, value REAL) WITHOUT ROWID",
)
_ADD_ROLLUP: Final = """
INSERT INTO rollup VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    count = count + excluded.count,
    low_t = CASE WHEN excluded.low < low THEN excluded.low_t ELSE low_t END,
    low = min(low, excluded.low),
    high_t = CASE WHEN excluded.high > high THEN excluded.high_t ELSE high_t END,
    high = max(high, excluded.high)
"""


class Arrival(NamedTuple):
    """A packet as received."""

    topic: str
    packet: Packet
    record: Record


class ArchivedPacket(NamedTuple):
    """An archived packet, and the gap right before it."""

    arrival: Arrival
    gap: Gap | None


class Archive(Closable):
    """The archive's writer, and the alarms that its packets raise; a context manager.

    One thread at a time, except ``write_sent``, ``change_alarm`` and ``alarms``.

    Raises :class:`ArchiveError` if the file is not an archive, is newer, or is in use by another
    bridge.
    """

    def __init__(self, path: Path, catalogue: PointCatalogue) -> None:
        self._path = path
        self._catalogue = catalogue
        self._lock = _locked(path)
        self._writing = threading.Lock()
        try:
            self._connection = _opened(path)
        except BaseException:
            os.close(self._lock)
            raise
        self._topics: dict[str, int] = {}
        self._keys: dict[str, int] = {}
        self._order = PacketOrder()
        self.alarms = AlarmBook()
        """Of all archived packets; changed in the transactions of this archive only."""
        self.alarm_changes = 0
        """How often an alarm changed since the file was opened."""
        try:
            self._resume()
            self._load_alarms()
            self._load_parameters()
            self.bridge = self._identified()
            """Random id of the bridge that writes this archive; no secret, but not published."""
        except BaseException:
            self.close()
            raise

    def write(self, arrivals: Sequence[Arrival]) -> list[ArchivedPacket]:
        """Add packets, all or none; return those that were new, in order.

        Raises :class:`ArchiveError` if the file cannot be written; the call may be repeated.
        """
        try:
            with self._transaction():
                stored = [
                    ArchivedPacket(one, gap) for one in arrivals for gap in self._gap_before(one)
                ]
                self._add_packets(stored)
                self._add_rollups(stored)
                self._raise_alarms(stored)
        except ArchiveError:
            self._resume()
            raise
        return stored

    def write_link(self, t: int, *, up: bool) -> None:
        """Record that the link went up or down at ``t`` (UTC nanoseconds)."""
        with self._transaction():
            self._connection.execute("INSERT INTO link VALUES (?, ?)", (t, int(up)))

    def write_sent(self, telecommand: str, args: str) -> None:
        """Record the arguments of a telecommand sent from here.  For any thread."""
        with self._transaction():
            self._connection.execute(
                "INSERT OR REPLACE INTO sent VALUES (?, ?)", (telecommand, args)
            )

    def change_alarm(self, alarm: str, change: Callable[[Alarm], Alarm]) -> None:
        """Change an alarm on the list.  For any thread.

        Raises :class:`~telecommands.ground.errors.UsageError` for every other alarm.
        """
        with self._transaction():
            self._save_alarm(self.alarms.change(alarm, change))

    def close(self) -> None:
        """Close the file, and release it for another bridge."""
        self._connection.close()
        os.close(self._lock)

    def _resume(self) -> None:
        """Load topics, keys and the last packets from the file."""
        with guarded(self._path):
            self._order = PacketOrder()
            rows = self._connection.execute("SELECT name, id, boot, seq, t FROM topic").fetchall()
            for name, _, boot, seq, t in rows:
                if boot is not None:
                    self._order.resume(name, Place(boot, seq, t))
            self._topics = {name: number for name, number, *_ in rows}
            self._keys = dict(self._connection.execute("SELECT name, id FROM key"))
        for key in self._keys:
            self._catalogue.discover(key)

    def _gap_before(self, arrival: Arrival) -> Iterator[Gap | None]:
        """One item, or none for a packet that is already archived."""
        last = self._order.last(arrival.topic)
        missing = self._order.missing_before(arrival.topic, arrival.packet)
        if missing is not None:
            after = last.t if last is not None else arrival.packet.t
            yield Gap(after, arrival.packet.t, missing) if missing else None

    def _add_packets(self, stored: Sequence[ArchivedPacket]) -> None:
        execute = self._connection.execute
        for (topic, packet, _), gap in stored:
            number = self._number("topic", self._topics, topic)
            execute(
                "INSERT INTO packet (topic, t, boot, seq, body) VALUES (?, ?, ?, ?, ?)",
                (number, packet.t, packet.boot, packet.seq, bytes(packet.body)),
            )
            if gap is not None:
                execute("INSERT INTO gap VALUES (?, ?, ?, ?)", (number, *gap))
        for topic in {one.arrival.topic for one in stored}:
            last = self._order.last(topic)
            assert last is not None
            execute("UPDATE topic SET boot = ?, seq = ?, t = ? WHERE name = ?", (*last, topic))

    def _add_rollups(self, stored: Sequence[ArchivedPacket]) -> None:
        spans: dict[tuple[int, int, int], Extremes] = {}
        for (topic, packet, record), _ in stored:
            t = packet.t
            for point, value in self._catalogue.values(topic, record):
                if not is_number(value):
                    continue
                value = float(value)  # type: ignore[arg-type]  # noqa: PLW2901
                number = self._keys.get(point.key) or self._number("key", self._keys, point.key)
                for level in LEVELS_NS:
                    place = (level, number, t // level)
                    known = spans.get(place)
                    if known is None:
                        spans[place] = Extremes(t, value)
                    else:
                        known.add(t, value)
        self._connection.executemany(
            _ADD_ROLLUP,
            [(*place, e.count, e.low, e.low_t, e.high, e.high_t) for place, e in spans.items()],
        )

    def _raise_alarms(self, stored: Sequence[ArchivedPacket]) -> None:
        for (topic, packet, record), _ in stored:
            self._follow(parameters_in(record))
            if isinstance(record, Event):
                self._save_alarm(self.alarms.take_event(record, packet.t))
            for point, value in self._catalogue.values(topic, record):
                if point.limits is not None:
                    self._save_alarm(self.alarms.take_value(point, value, packet.t))

    def _follow(self, parameters: Mapping[str, float]) -> None:
        """Let the limits of later packets follow these parameters."""
        if parameters:
            self._catalogue.follow(parameters)
            sql = "INSERT OR REPLACE INTO parameter VALUES (?, ?)"
            self._connection.executemany(sql, parameters.items())

    def _save_alarm(self, alarm: Alarm | None) -> None:
        if alarm is not None:
            body = msgspec.msgpack.encode(alarm)
            self._connection.execute("INSERT OR REPLACE INTO alarm VALUES (?, ?)", (alarm.id, body))
            self.alarm_changes += 1

    def _load_alarms(self) -> None:
        with guarded(self._path):
            rows = self._connection.execute("SELECT body FROM alarm").fetchall()
        decoder = msgspec.msgpack.Decoder(Alarm)
        self.alarms = AlarmBook(decoder.decode(body) for (body,) in rows)

    def _load_parameters(self) -> None:
        with guarded(self._path):
            self._catalogue.follow(dict(self._connection.execute("SELECT * FROM parameter")))

    def _identified(self) -> str:
        with self._transaction():
            found = self._connection.execute("SELECT id FROM bridge").fetchone()
            if found is None:
                found = (secrets.token_hex(16),)
                self._connection.execute("INSERT INTO bridge VALUES (?)", found)
        return str(found[0])

    def _number(self, table: str, known: dict[str, int], name: str) -> int:
        number = known.get(name)
        if number is None:
            sql = f"INSERT INTO {table} (name) VALUES (?)"  # noqa: S608 - one of two tables
            number = known[name] = int(self._connection.execute(sql, (name,)).lastrowid or 0)
        return number

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._writing, guarded(self._path):
            alarms = self.alarms.copy()
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                self.alarms = alarms
                raise


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection in mode ``ro`` or ``rwc``; the caller manages transactions."""
    quoted = urllib.parse.quote(str(path.absolute()))
    return sqlite3.connect(
        f"file:{quoted}?mode={mode}",
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,
        uri=True,
    )


def check_version(path: Path, connection: sqlite3.Connection) -> int:
    """Version of the file's schema.  Raises :class:`ArchiveError` if it is not supported."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version not in (0, VERSION):
        cause = f"has schema version {version}, but this release supports {VERSION}"
        raise ArchiveError(path, cause, "Use the release that wrote it, or give another file")
    return version


def _opened(path: Path) -> sqlite3.Connection:
    make_private(path)
    with guarded(path):
        connection = connect(path, "rwc")
        try:
            if check_version(path, connection) == 0:
                others = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
                if others:
                    raise ArchiveError(path, "is another kind of database", "Give another file")
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(
                    f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version = {VERSION};COMMIT;"
                )
            connection.execute("PRAGMA synchronous = NORMAL")
            for statement in _ADDED:
                connection.execute(statement)
        except BaseException:
            connection.close()
            raise
        return connection


def make_private(path: Path) -> None:
    """Only its owner may read it; SQLite gives the files beside it the same mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        for end in ("", "-wal", "-shm"):
            file = path.with_name(f"{path.name}{end}")
            if file.exists() and stat.S_IMODE(file.stat().st_mode) & 0o077:
                file.chmod(0o600)
    except OSError as error:
        cause = f"cannot be made readable by its owner only ({(error.strerror or '').lower()})"
        raise ArchiveError(path, cause, "Give a file of your own") from error


def _locked(path: Path) -> int:
    """A lock file beside the archive, released when its process ends."""
    lock = path.with_name(f"{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        cause = f"cannot be written ({error.strerror})"
        raise ArchiveError(lock, cause, "Give a file in a writable folder") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        cure = "Stop it, or give another --archive"
        raise ArchiveError(path, "is in use by another dashboard", cure) from error
    return handle


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Raise :class:`ArchiveError` for an error of SQLite."""
    try:
        yield
    except sqlite3.Error as error:
        cure = "Free space, or give another --archive"
        raise ArchiveError(path, f"cannot be used ({error})", cure) from error
