"""The stages of each telecommand: on disk if it changed something, else in memory."""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from typing import Final

import msgspec

from flightsw.state import StateFile
from telecommands.codec import encode
from telecommands.dictionary import Stage, Verification

KEPT: Final = 10_000
"""Closed telecommands that stay known over restarts."""

_VOLATILE_IDS: Final = 4096
_VOLATILE_BYTES: Final = 16 << 20  # of stages in memory; a list of jobs takes up to 200 kB

_VERIFICATION: Final = msgspec.msgpack.Decoder(Verification)

# One row a stage: a job started again after a fault replaces the row of its first start.
_ACCEPTED, _STARTED, _CLOSED = 1, 2, 3


class VerificationLedger:
    """Stages of telecommands by reference.  Any thread may call; open() and prune() belong to one.

    Durable telecommands are in the state file, all stages but PROGRESS, whose latest is in memory.
    The others (READ_ONLY and rejected ones) are in memory, the most recent few thousand.
    """

    def __init__(self, state: StateFile) -> None:
        self._state = state
        self._lock = threading.Lock()  # of what is in memory; innermost
        self._volatile = _VolatileStages()
        self._progress: dict[str, Verification] = {}  # of open durable telecommands
        with state.reading() as db:
            rows = db.execute("SELECT id FROM telecommands").fetchall()
        # May hold ids whose transaction was rolled back: they count once the file knows them too.
        self._durable = {row[0] for row in rows}

    def known(self, telecommand: str) -> tuple[Verification, ...]:
        """All stages so far, oldest first; empty for one never seen, or too long ago.

        Reads the state file for durable telecommands only.
        """
        with self._lock:
            passing = self._volatile.stages(telecommand)
            if telecommand not in self._durable:
                return tuple(_VERIFICATION.decode(stage) for stage in passing)
        with self._state.reading() as db:
            stages = _stages(db, telecommand)
            with self._lock:
                if not stages:
                    self._durable.discard(telecommand)
                progress = self._progress.get(telecommand)
        return (*stages, progress) if stages and progress else stages

    def latest(self, telecommand: str) -> Verification | None:
        """The stage that the telecommand is at; None for one that :meth:`known` does not know."""
        stages = self.known(telecommand)
        return stages[-1] if stages else None

    def open(
        self, telecommand: str, name: str, key_id: str, received_ns: int, *, durable: bool
    ) -> None:
        """Begin a telecommand's record, replacing any of this reference; ``received_ns`` is UTC.

        A durable one belongs into the transaction of what the telecommand changes.
        """
        with self._lock:
            self._volatile.drop(telecommand)
            self._progress.pop(telecommand, None)
            if not durable:
                self._durable.discard(telecommand)
                return
            self._durable.add(telecommand)
        with self._state.transaction() as db:
            db.execute("DELETE FROM telecommands WHERE id = ?", (telecommand,))
            db.execute(
                "INSERT INTO telecommands (id, name, key_id, received_at) VALUES (?, ?, ?, ?)",
                (telecommand, name, key_id, received_ns),
            )

    def record(self, telecommand: str, verification: Verification) -> None:
        """Add a stage to an opened telecommand.

        Raises StateUnavailable if a durable one cannot be written.
        """
        with self._lock:
            if telecommand not in self._durable:
                self._volatile.add(telecommand, encode(verification))
                return
            if verification.stage is Stage.PROGRESS:
                self._progress[telecommand] = verification
                return
        number = {Stage.ACCEPTED: _ACCEPTED, Stage.STARTED: _STARTED}.get(
            verification.stage, _CLOSED
        )
        with self._state.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO verifications VALUES (?, ?, ?)",
                (telecommand, number, encode(verification)),
            )
            if number == _CLOSED:
                db.execute("UPDATE telecommands SET closed = 1 WHERE id = ?", (telecommand,))
        with self._lock:
            self._progress.pop(telecommand, None)

    def unclosed(self) -> list[tuple[str, Verification]]:
        """Each durable telecommand that has no closing stage: its reference, its latest stage."""
        with self._state.reading() as db:
            rows = db.execute("SELECT id FROM telecommands WHERE closed = 0 ORDER BY number")
            return [(one, latest) for (one,) in rows.fetchall() if (latest := self.latest(one))]

    def prune(self, keep: int = KEPT) -> int:
        """Forget the oldest closed durable telecommands beyond ``keep``; how many.

        Waits until a tenth more than that are there, so that calling it often costs nothing.
        """
        if len(self._durable) <= keep + keep // 10:
            return 0
        with self._state.transaction() as db:
            rows = db.execute(
                "SELECT id FROM telecommands WHERE closed = 1 ORDER BY number DESC"
                " LIMIT -1 OFFSET ?",
                (keep,),
            ).fetchall()
            db.executemany("DELETE FROM telecommands WHERE id = ?", rows)
        with self._lock:
            self._durable.difference_update(row[0] for row in rows)
        return len(rows)


class _VolatileStages:
    """Encoded stages by reference; the telecommands looked at longest ago go when it is full."""

    def __init__(self) -> None:
        self._stages: OrderedDict[str, list[bytes]] = OrderedDict()
        self._bytes = 0

    def stages(self, telecommand: str) -> tuple[bytes, ...]:
        if telecommand not in self._stages:
            return ()
        self._stages.move_to_end(telecommand)
        return tuple(self._stages[telecommand])

    def add(self, telecommand: str, stage: bytes) -> None:
        self._stages.setdefault(telecommand, []).append(stage)
        self._bytes += len(stage)
        while len(self._stages) > _VOLATILE_IDS or self._bytes > _VOLATILE_BYTES:
            self.drop(next(iter(self._stages)))

    def drop(self, telecommand: str) -> None:
        self._bytes -= sum(map(len, self._stages.pop(telecommand, ())))


def _stages(db: sqlite3.Connection, telecommand: str) -> tuple[Verification, ...]:
    rows = db.execute(
        "SELECT stage FROM verifications WHERE id = ? ORDER BY number", (telecommand,)
    )
    return tuple(_VERIFICATION.decode(stage) for (stage,) in rows)
