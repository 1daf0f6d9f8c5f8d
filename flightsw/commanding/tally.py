"""How many telecommands were accepted and rejected, and why."""

from __future__ import annotations

import threading
from collections import Counter

from telecommands.dictionary import Stage, TelecommandCounts, Verification


class TelecommandTally:
    """Counts each telecommand once, by its first stage.  Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accepted = 0
        self._rejected: Counter[str] = Counter()  # by code, so as many as there are codes

    def add(self, first: Verification) -> None:
        """Count a telecommand whose first stage this is."""
        with self._lock:
            if first.stage is Stage.ACCEPTED:
                self._accepted += 1
            elif first.stage is Stage.REJECTED and first.code:
                self._rejected[first.code.value] += 1

    def counts(self) -> TelecommandCounts:
        """Telecommands since the service started."""
        with self._lock:
            return TelecommandCounts(
                accepted=self._accepted,
                rejected=self._rejected.total(),
                rejected_by_code=dict(self._rejected),
            )
