"""The state file as the rooms use it: one connection, whole transactions, one owner."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec
from typing_extensions import Self

from flightsw.errors import StateInUse, StateUnavailable, StateUnusable
from flightsw.host.disk import has_room, sync
from flightsw.state.mark import MarkFile, StateMark
from flightsw.state.recovery import StateLoss, restored
from flightsw.state.schema import TRANSACTIONS, connect, lay_out
from flightsw.state.verification import digest_of, faults_of, is_busy, read_seal

STATE_FILE: Final = "state.sqlite"
COPY_FILE: Final = "state.copy.sqlite"
"""The last-good copy, verified when it was made."""
DAMAGED_FILE: Final = "state.damaged.sqlite"
"""The last state file that was found damaged, for people to look at."""

MARK_FILE: Final = "state.mark"
"""How many transactions were written, and the sum of all rows."""
LOSS_FACT: Final = "state.loss"
"""Name of the fact that holds a loss until it was dealt with."""

_NEW_FILE: Final = "state.new.sqlite"
_ROOM: Final = 1 << 20  # bytes, beyond the size of the state, that a start needs


class StateFile:
    """One connection, one writer at a time; every change is on disk when its transaction ends.

    A damaged file is restored from its sound rows and the last-good copy, and :attr:`loss` says
    what is gone.  If the disk is full when the file is opened, the state is in memory
    (:attr:`volatile`) until :meth:`settle` finds room.

    Raises, when opened: :class:`StateInUse` if another service holds the folder,
    :class:`StateUnusable` if the file is newer than this software or not ours.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / STATE_FILE
        self.damage = ""
        """What was found damaged while the file was in use; a restart restores it."""
        self._lock = threading.RLock()
        self._guard = _locked(folder)
        self._mark: MarkFile | None = None
        self._volatile = False
        self._transactions = 0
        self._copied_at = -1
        self._committed: list[Callable[[], None]] = []
        self._writer: int | None = None  # the thread whose transaction is open
        self._db: sqlite3.Connection
        try:
            self._mark = MarkFile(folder / MARK_FILE)
            self._open()
        except BaseException:
            self._close_files()
            raise

    @property
    def volatile(self) -> bool:
        """Whether the state is in memory only, because the disk has no room for it."""
        return self._volatile

    @property
    def loss(self) -> StateLoss | None:
        """What a restoration could not save; None once :meth:`accept_loss` was called."""
        value = self.fact(LOSS_FACT)
        return None if value is None else msgspec.msgpack.decode(value, type=StateLoss)

    def accept_loss(self) -> None:
        """The loss was dealt with; part of the transaction that did so."""
        self.set_fact(LOSS_FACT, None)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Changes that happen together or not at all; transactions may be nested.

        One that changes no row writes nothing.
        Raises :class:`StateUnavailable` if the disk is full, or the file is locked or damaged.
        """
        with self._lock:
            if self._db.in_transaction:  # part of the outer one
                yield self._db
                return
            self._writer = threading.get_ident()
            try:
                self._db.execute("BEGIN IMMEDIATE")
                before = self._db.total_changes
                yield self._db
                changed = self._db.total_changes != before
                if changed:  # else the disk would be written for the count alone
                    self._db.execute(_COUNT, (self._transactions + 1, TRANSACTIONS))
                digest = digest_of(self._db)
                self._db.execute("COMMIT")
            except sqlite3.DatabaseError as error:
                self._roll_back()
                self._raise_unavailable(error, "written")
                raise
            except BaseException:
                self._roll_back()
                raise
            finally:
                self._writer = None
            if changed:
                self._transactions += 1
                if self._mark is not None and not self._volatile:
                    self._mark.write(StateMark(self._transactions, digest))
            actions, self._committed = self._committed, []
            for action in actions:
                action()

    def after_commit(self, action: Callable[[], None]) -> None:
        """Do ``action`` when this thread's transaction is committed, never if it is rolled back.

        Without a transaction of this thread it is done immediately; it never waits for another.
        """
        if self._writer == threading.get_ident():
            self._committed.append(action)
        else:
            action()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read the state."""
        with self._lock:
            try:
                yield self._db
            except sqlite3.DatabaseError as error:
                self._raise_unavailable(error, "read")
                raise

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

    def settle(self) -> bool:
        """Write a volatile state to the disk, if there is room; whether the state is on the disk.

        A crash at any instant leaves the old file or the new one.
        """
        with self._lock:
            if not self._volatile:
                return True
            new = self.path.with_name(_NEW_FILE)
            try:
                self._write_whole(new)
                self._replace_by(new)
                on_disk = _running(self.path)
            except (sqlite3.Error, OSError):  # no room yet
                with suppress(OSError):
                    new.unlink(missing_ok=True)
                return False
            self._db.close()
            self._db, self._volatile = on_disk, False
            return True

    def keep_copy(self) -> bool:
        """Replace the last-good copy by the present state; whether there is one of it now.

        Reads the file by a second connection, so that other threads need not wait.  If the file
        turns out to be damaged, the copy stays as it is, and :attr:`damage` says so.
        """
        with self._lock:
            transactions = self._transactions
            if self._volatile or transactions == self._copied_at:
                return not self._volatile
        copy = self.path.with_name(COPY_FILE)
        partial = copy.with_name(f".{copy.name}.partial")
        try:
            faults = _copied(self.path, partial)
            if faults:
                self.damage = self.damage or faults[0]
                return False
            sync(partial)
            partial.replace(copy)
            sync(copy.parent)
        except (sqlite3.Error, OSError):  # no room: the older copy stays
            return False
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        self._copied_at = transactions
        return True

    def close(self) -> None:
        """Write everything into the one file and release the folder; may be called again."""
        with self._lock:
            if self._guard >= 0:
                self._db.close()
                self._close_files()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- Opening -----------------------------------------------------------------------------

    def _open(self) -> None:
        assert self._mark is not None
        new, copy = (self.path.with_name(name) for name in (_NEW_FILE, COPY_FILE))
        # A new file alone is a first start that was cut short: nothing was promised yet.
        known = self.path.exists() or copy.exists() or self._mark.found
        room = has_room(self.path.parent, _ROOM)
        try:
            if room and self.path.exists() and self._open_sound():
                return
            if known:
                self._db, loss = restored(self.path, [new, copy], self._mark.found)
            else:
                self._db, loss = connect(":memory:"), None
                lay_out(self._db)
        except sqlite3.OperationalError as error:
            cure = "Close what holds the file"
            raise StateUnusable(self.path, f"cannot be opened ({error})", cure) from error
        self._volatile = True
        self._transactions = _transactions(self._db)
        if loss is not None:
            self.set_fact(LOSS_FACT, msgspec.msgpack.encode(loss))
        if room:
            self.settle()

    def _open_sound(self) -> bool:
        """Whether the file on the disk is sound, and in use now."""
        assert self._mark is not None
        db = connect(self.path)
        try:
            if faults_of(db, self._mark.found):
                db.close()
                return False
            _prepare(db)
        except sqlite3.Error as error:
            db.close()
            if is_busy(error):
                raise
            return False
        self._db = db
        self._transactions = _transactions(db)
        return True

    # --- Inside ------------------------------------------------------------------------------

    def _write_whole(self, new: Path) -> None:
        pages = self._db.execute("PRAGMA page_count").fetchone()[0]
        size = pages * self._db.execute("PRAGMA page_size").fetchone()[0]
        if not has_room(new.parent, size + _ROOM):
            raise OSError(f"{size + _ROOM} bytes are needed")
        new.unlink(missing_ok=True)
        target = connect(new)
        try:
            new.chmod(0o600)
            self._db.backup(target)
        finally:
            target.close()
        sync(new)

    def _replace_by(self, new: Path) -> None:
        """The new file takes the old one's place, which is kept if it was damaged."""
        damaged = self.path.with_name(DAMAGED_FILE)
        if self.path.exists() and self.fact(LOSS_FACT) is not None:
            damaged.unlink(missing_ok=True)
            os.link(self.path, damaged)
        for ending in ("-wal", "-shm"):  # they belong to the old file
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
        new.replace(self.path)
        sync(self.path.parent)

    def _raise_unavailable(self, error: sqlite3.DatabaseError, done: str) -> None:
        """Raise StateUnavailable if it is the file that failed, not the statement."""
        if type(error) is sqlite3.DatabaseError:  # malformed, or no database any more
            self.damage = self.damage or str(error)
            cure = "Restart the service, which restores it"
            raise StateUnavailable(self.path, f"is damaged ({error})", cure) from error
        if isinstance(error, sqlite3.OperationalError):
            cure = "Free disk space, or close what locks the file"
            raise StateUnavailable(self.path, f"cannot be {done} ({error})", cure) from error

    def _roll_back(self) -> None:
        self._committed = []
        if self._db.in_transaction:
            with suppress(sqlite3.DatabaseError):  # a damaged file: nothing was committed
                self._db.execute("ROLLBACK")

    def _close_files(self) -> None:
        if self._mark is not None:
            self._mark.close()
        os.close(self._guard)
        self._guard = -1


_COUNT: Final = "UPDATE seals SET rows = ? WHERE name = ?"


def _locked(folder: Path) -> int:
    """An open descriptor of the folder, whose lock ends with the process, however that ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        guard = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
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


def _running(path: Path) -> sqlite3.Connection:
    db = connect(path)
    try:
        _prepare(db)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")


def _transactions(db: sqlite3.Connection) -> int:
    seal = read_seal(db, TRANSACTIONS)
    return 0 if seal is None else seal.rows


def _copied(path: Path, partial: Path) -> list[str]:
    """Copy a state file that is in use; what is wrong with the copy."""
    partial.unlink(missing_ok=True)
    source, copy = connect(path), connect(partial)
    try:
        partial.chmod(0o600)
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # so that it is one file
        return faults_of(copy, None)
    finally:
        source.close()
        copy.close()
