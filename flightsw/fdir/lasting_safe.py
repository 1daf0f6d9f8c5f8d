"""SAFE mode that outlives a restart: only a telecommand leaves it."""

from __future__ import annotations

from typing import Final

from flightsw.fdir.modes import ModeMachine, SafeReason
from flightsw.state import StateFile

_FACT: Final = "safe_because"
_LASTING: Final = (SafeReason.BOOT_LOOP, SafeReason.TELECOMMAND, SafeReason.STATE_LOST)
"""Other reasons are found again by the monitors that watch them."""


class LastingSafe:
    """Keeps the reasons in the state file; called by one thread, and never by a mode's listener,
    which must not wait for the state file."""

    def __init__(self, state: StateFile, modes: ModeMachine) -> None:
        self._state = state
        self._modes = modes
        self._kept = (state.fact(_FACT) or b"").decode()

    def restore(self) -> None:
        """At boot: SAFE again, if the previous run was so for a lasting reason."""
        for name in filter(None, self._kept.split(",")):
            self._modes.unsafe(SafeReason[name], "as before the restart")

    def keep(self) -> None:
        """Write the reasons down if they changed.  Raises StateUnavailable."""
        reasons = ",".join(one.name for one in self._modes.reasons if one in _LASTING)
        if reasons != self._kept:
            self._state.set_fact(_FACT, reasons.encode() or None)
            self._kept = reasons
