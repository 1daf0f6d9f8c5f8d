"""Boots: their number, how the previous run ended, and whether they form a loop."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from flightsw.state import StateFile

LOOP_BOOTS: Final = 3
LOOP_SECONDS: Final = 600
"""Three unclean boots within ten minutes are a boot loop (docs/design.md, modes)."""

FIRST_BOOT: Final = "first boot"
CLEAN_SHUTDOWN: Final = "clean shutdown"
RESTART_COMMANDED: Final = "restart commanded"
KILLED: Final = "unclean: killed or crashed"
POWER_CUT: Final = "unclean: power cut or restart of the computer"
UNCLEAN: Final = "unclean: killed or power cut"

_END_REASON: Final = "boots.end_reason"
_MACHINE_BOOT: Final = "boots.machine_boot"
_BOOTS_LOOKED_AT: Final = 100


@dataclass(frozen=True)
class Boot:
    """This start of the service.  ``unclean_count``: runs so far that ended uncleanly."""

    number: int
    unclean_count: int
    last_was_clean: bool
    reset_cause: str
    loop: bool


class BootRecord:
    """The boots in the state file."""

    def __init__(self, state: StateFile) -> None:
        self._state = state

    def begin(self, now_ns: int, machine_boot: str = "") -> Boot:
        """Record a start; how the previous run ended.

        ``machine_boot`` names the run of the computer (``/proc/sys/kernel/random/boot_id``): it
        distinguishes a killed process from a power cut.  Raises :class:`StateUnavailable`.
        """
        with self._state.transaction() as db:
            last = db.execute("SELECT clean FROM boots ORDER BY boot DESC LIMIT 1").fetchone()
            cause = self._reset_cause(last, machine_boot)
            db.execute("INSERT INTO boots (started_at, cause) VALUES (?, ?)", (now_ns, cause))
            (number,) = db.execute("SELECT MAX(boot) FROM boots").fetchone()
            (unclean_count,) = db.execute(
                "SELECT COUNT(*) FROM boots WHERE clean = 0 AND boot < ?", (number,)
            ).fetchone()
            self._state.set_fact(_END_REASON, None)
            self._state.set_fact(_MACHINE_BOOT, machine_boot.encode())
            clean = last is None or bool(last[0])
            loop = not clean and _unclean_starts_of_late(db) >= LOOP_BOOTS
        return Boot(number, unclean_count, clean, cause, loop)

    def end_clean(self, now_ns: int, reason: str = CLEAN_SHUTDOWN) -> None:
        """Record a clean end; ``reason`` becomes the reset cause of the next boot."""
        with self._state.transaction() as db:
            db.execute(
                "UPDATE boots SET ended_at = ?, clean = 1"
                " WHERE boot = (SELECT MAX(boot) FROM boots)",
                (now_ns,),
            )
            self._state.set_fact(_END_REASON, reason.encode())

    def _reset_cause(self, last: tuple[int] | None, machine_boot: str) -> str:
        if last is None:
            return FIRST_BOOT
        if last[0]:
            return (self._state.fact(_END_REASON) or CLEAN_SHUTDOWN.encode()).decode()
        before = (self._state.fact(_MACHINE_BOOT) or b"").decode()
        if not before or not machine_boot:
            return UNCLEAN
        return KILLED if before == machine_boot else POWER_CUT


def _unclean_starts_of_late(db: sqlite3.Connection) -> int:
    """Starts within the last ten minutes, this one included, after a run that ended uncleanly.

    UTC may have jumped between two starts.  If it went back, the time between them is unknown
    and counts as zero: better to see a loop too often than to miss one.
    """
    rows = db.execute(
        "SELECT started_at, clean FROM boots ORDER BY boot DESC LIMIT ?", (_BOOTS_LOOKED_AT,)
    ).fetchall()
    found, elapsed_ns = 0, 0
    for (started_at, _), (started_before, ended_clean) in pairwise(rows):
        if not ended_clean:
            found += 1
        elapsed_ns += max(0, started_at - started_before)
        if elapsed_ns > LOOP_SECONDS * 10**9:
            break
    return found
