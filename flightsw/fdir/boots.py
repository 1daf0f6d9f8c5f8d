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
MOST_BOOTS: Final = 7
"""So are seven, even if one job caused them: systemd gives up after eight starts."""

FIRST_BOOT: Final = "first boot"
CLEAN_SHUTDOWN: Final = "clean shutdown"
RESTART_COMMANDED: Final = "restart commanded"
UNCLEAN_PREFIX: Final = "unclean: "
KILLED: Final = f"{UNCLEAN_PREFIX}killed or crashed"
POWER_CUT: Final = f"{UNCLEAN_PREFIX}power cut or restart of the computer"
UNCLEAN: Final = f"{UNCLEAN_PREFIX}killed or power cut"
CRASHED: Final = f"{UNCLEAN_PREFIX}crashed"
SAME_JOB: Final = ", with the same job in progress as at the previous unclean end"
"""Ends the reset cause of a boot that :data:`LOOP_BOOTS` does not count."""

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

    def begin(
        self,
        now_ns: int,
        machine_boot: str = "",
        *,
        crashed: bool = False,
        same_job: bool = False,
    ) -> Boot:
        """Record a start; how the previous run ended.

        ``machine_boot`` names the run of the computer (``/proc/sys/kernel/random/boot_id``): it
        distinguishes a killed process from a power cut.  ``crashed``: the run left a crash report.
        ``same_job``: a job may have caused this unclean end and the one before; as its attempts
        are bounded, both count as one in a boot loop, unless the power was cut.
        Raises :class:`StateUnavailable`.
        """
        with self._state.transaction() as db:
            last = db.execute("SELECT clean FROM boots ORDER BY boot DESC LIMIT 1").fetchone()
            cause = self._reset_cause(last, machine_boot, crashed=crashed)
            if same_job and cause in (CRASHED, KILLED):
                cause += SAME_JOB
            db.execute("INSERT INTO boots (started_at, cause) VALUES (?, ?)", (now_ns, cause))
            (number,) = db.execute("SELECT MAX(boot) FROM boots").fetchone()
            (unclean_count,) = db.execute(
                "SELECT COUNT(*) FROM boots WHERE clean = 0 AND boot < ?", (number,)
            ).fetchone()
            self._state.set_fact(_END_REASON, None)
            self._state.set_fact(_MACHINE_BOOT, machine_boot.encode())
            clean = last is None or bool(last[0])
            loop = not clean and _is_loop(db)
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

    def _reset_cause(self, last: tuple[int] | None, machine_boot: str, *, crashed: bool) -> str:
        if last is None:
            return FIRST_BOOT
        if last[0]:
            return (self._state.fact(_END_REASON) or CLEAN_SHUTDOWN.encode()).decode()
        if crashed:
            return CRASHED
        before = (self._state.fact(_MACHINE_BOOT) or b"").decode()
        if not before or not machine_boot:
            return UNCLEAN
        return KILLED if before == machine_boot else POWER_CUT


def _is_loop(db: sqlite3.Connection) -> bool:
    """Whether there were too many unclean ends within the last ten minutes.

    UTC may have jumped between two starts.  If it went back, the time between them is unknown
    and counts as zero: better to see a loop too often than to miss one.
    """
    rows = db.execute(
        "SELECT started_at, clean, cause FROM boots ORDER BY boot DESC LIMIT ?",
        (_BOOTS_LOOKED_AT,),
    ).fetchall()
    unclean, counted, elapsed_ns = 0, 0, 0
    for (started_at, _, cause), (started_before, ended_clean, _) in pairwise(rows):
        if not ended_clean:
            unclean += 1
            counted += not cause.endswith(SAME_JOB)
        elapsed_ns += max(0, started_at - started_before)
        if elapsed_ns > LOOP_SECONDS * 10**9:
            break
    return counted >= LOOP_BOOTS or unclean >= MOST_BOOTS
