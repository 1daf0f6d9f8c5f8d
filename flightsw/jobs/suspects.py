"""Which jobs may have crashed the service: on record before their scenes are decoded.

The next scene is decoded beside the running job.  If the service then dies, both jobs are suspects:
neither is charged, and each runs alone from then on, so that the next crash has one suspect.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import msgspec

from flightsw.errors import StateUnavailable
from flightsw.state import StateFile
from telecommands.dictionary import JobState
from telecommands.failure import UNDECODABLE

_FACT: Final = "jobs.suspects"


class _Suspects(msgspec.Struct, frozen=True):
    """Job ids: whose scene is decoded ahead, who runs alone, and who may have caused all of the
    latest crashes."""

    ahead: str = ""
    alone: tuple[str, ...] = ()
    common: tuple[str, ...] = ()


class CrashSuspects:
    """The record in the state file.  Any thread may call; nothing is kept in memory."""

    def __init__(self, state: StateFile) -> None:
        self._state = state

    def decodes_ahead(self, job: str, beside: str) -> bool:
        """Record that the scene of ``job`` is decoded beside the one that runs.

        False, with nothing recorded, if one of both has to run alone.
        Raises :class:`~flightsw.errors.StateUnavailable`.
        """
        with self._state.transaction():
            record = self._read()
            if {job, beside} & {*record.alone}:
                return False
            self._write(msgspec.structs.replace(record, ahead=job))
        return True

    def decodes_nothing_ahead(self) -> None:
        """Record that no scene is decoded beside the one that runs.

        If the state cannot be written, a crash has one suspect too many.
        """
        with suppress(StateUnavailable):
            record = self._read()
            if record.ahead:
                self._write(msgspec.structs.replace(record, ahead=""))

    def same_again(self) -> bool:
        """At boot: whether a job that worked now may have caused the crashes before, too."""
        return bool(self._at_work() & {*self._read().common})

    def accuse(self) -> frozenset[str]:
        """At boot after an unclean end: the jobs that were at work.  They run alone from now on."""
        with self._state.transaction():
            record, found = self._read(), self._at_work()
            common = found & {*record.common} or found
            alone = self._open({*record.alone} | found)
            self._write(_Suspects("", tuple(sorted(alone)), tuple(sorted(common))))
        return found

    def _at_work(self) -> frozenset[str]:
        with self._state.reading() as db:
            query = "SELECT job FROM jobs WHERE state = ?"
            running = {job for (job,) in db.execute(query, (JobState.RUNNING.value,))}
        return self._open(running | {self._read().ahead})

    def _open(self, jobs: set[str]) -> frozenset[str]:
        with self._state.reading() as db:
            query = "SELECT job FROM jobs WHERE ended_at IS NULL"
            return frozenset(job for (job,) in db.execute(query) if job in jobs)

    def _read(self) -> _Suspects:
        with suppress(*UNDECODABLE):  # none, or of another version
            return msgspec.msgpack.decode(self._state.fact(_FACT) or b"", type=_Suspects)
        return _Suspects()

    def _write(self, record: _Suspects) -> None:
        self._state.set_fact(_FACT, msgspec.msgpack.encode(record))
