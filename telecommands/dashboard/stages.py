"""What became of each telecommand, told by telemetry and by the answers to this bridge's own."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from telecommands.dashboard.points.data import NS_PER_MS, row_datum
from telecommands.dictionary import Verification

NO_ANSWER: Final = "NO_ANSWER"
"""The stage that the ground itself adds: nothing more is awaited."""

MOST_KEPT: Final = 1000
"""Telecommands; the oldest go first."""

_MOST_STAGES: Final = 200


class StageLog:
    """Each stage once, whichever way it comes first.  Any thread may call.

    ``tell`` is called with each new one as a datum.
    """

    def __init__(self, tell: Callable[[dict[str, Any]], None]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._stages: OrderedDict[str, OrderedDict[tuple[str, int, int], dict[str, Any]]]
        self._stages = OrderedDict()

    def open(self, telecommand: str) -> None:
        """Know a telecommand before its first stage comes."""
        with self._lock:
            self._of(telecommand)

    def take(self, stage: Verification, seq: int | None = None, boot: int | None = None) -> None:
        """A stage by telemetry (with its number and boot) or by an answer (without)."""
        datum = row_datum(stage.at, seq, boot, stage)
        with self._lock:
            known = self._of(stage.id)
            label = (stage.stage.value, stage.at, stage.step)
            if label in known:
                return
            known[label] = datum
            if len(known) > _MOST_STAGES:
                known.popitem(last=False)
        self._tell(datum)

    def fail(self, telecommand: str, name: str, at_ns: int, code: str, cause: str) -> None:
        """The ground's own end of a telecommand: it could not be sent, or nobody answered."""
        at = at_ns / NS_PER_MS
        datum = {"timestamp": at, "id": telecommand, "name": name, "stage": NO_ANSWER}
        datum |= {"at": at, "key_id": "", "code": code, "cause": cause, "cure": ""}
        datum |= {"step": 0, "of": 0, "data": "", "seq": None, "boot": None}
        with self._lock:
            self._of(telecommand)[(NO_ANSWER, at_ns, 0)] = datum
        self._tell(datum)

    def of(self, telecommand: str) -> list[dict[str, Any]] | None:
        """Its stages so far; None where it is not known (any more)."""
        with self._lock:
            known = self._stages.get(telecommand)
            return None if known is None else list(known.values())

    def _of(self, telecommand: str) -> OrderedDict[tuple[str, int, int], dict[str, Any]]:
        known = self._stages.setdefault(telecommand, OrderedDict())
        if len(self._stages) > MOST_KEPT:
            self._stages.popitem(last=False)
        return known
