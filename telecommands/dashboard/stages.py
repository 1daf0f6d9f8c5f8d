"""The stages of each telecommand, from telemetry and from answers to this bridge."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from telecommands.dashboard.points.data import NS_PER_MS, row_datum
from telecommands.dictionary import Verification
from telecommands.ground.errors import GroundError

NO_ANSWER: Final = "NO_ANSWER"
"""The closing stage that the ground adds if no answer is expected any more."""

MOST_KEPT: Final = 1000
"""Telecommands kept at most; the oldest are dropped first."""

_MOST_STAGES: Final = 200


class StageLog:
    """Keeps each stage once, whether telemetry or an answer is received first.  For any thread.

    ``publish`` is called with each new stage as a datum.  ``key_id`` is the bridge's own key: the
    same id of another key is another telecommand, called ``KEY/ID`` here.
    """

    def __init__(self, publish: Callable[[dict[str, Any]], None], key_id: str | None) -> None:
        self._publish = publish
        self._key_id = key_id
        self._lock = threading.Lock()
        self._stages: OrderedDict[str, OrderedDict[tuple[str, int, int], dict[str, Any]]]
        self._stages = OrderedDict()
        self._arguments: dict[str, str] = {}

    def open(self, telecommand: str, args: str) -> None:
        """Register a telecommand and the JSON of its arguments before its first stage."""
        with self._lock:
            self._of(telecommand)
            self._arguments[telecommand] = args

    def take(self, stage: Verification, seq: int | None = None, boot: int | None = None) -> None:
        """Add a stage from telemetry (with its number and boot) or from an answer (without)."""
        datum = row_datum(stage.at, seq, boot, stage)
        own = stage.key_id in ("", self._key_id)
        telecommand = stage.id if own else f"{stage.key_id}/{stage.id}"
        with self._lock:
            known = self._of(telecommand)
            datum["args"] = self._arguments.get(telecommand, "")
            label = (stage.stage.value, stage.at, stage.step)
            if label in known:
                return
            known[label] = datum
            if len(known) > _MOST_STAGES:
                known.popitem(last=False)
        self._publish(datum)

    def fail(self, telecommand: str, name: str, at_ns: int, error: GroundError) -> None:
        """Close a telecommand that could not be sent or was not answered."""
        at = at_ns / NS_PER_MS
        datum = {"timestamp": at, "id": telecommand, "name": name, "stage": NO_ANSWER}
        datum |= {"at": at, "key_id": "", "step": 0, "of": 0, "data": "", "seq": None, "boot": None}
        datum |= {"code": error.code, "cause": error.sentence, "cure": error.cure}
        with self._lock:
            datum["args"] = self._arguments.get(telecommand, "")
            self._of(telecommand)[(NO_ANSWER, at_ns, 0)] = datum
        self._publish(datum)

    def of(self, telecommand: str) -> list[dict[str, Any]] | None:
        """Its stages so far; None if it is unknown or no longer kept."""
        with self._lock:
            known = self._stages.get(telecommand)
            return None if known is None else list(known.values())

    def _of(self, telecommand: str) -> OrderedDict[tuple[str, int, int], dict[str, Any]]:
        known = self._stages.setdefault(telecommand, OrderedDict())
        if len(self._stages) > MOST_KEPT:
            oldest, _ = self._stages.popitem(last=False)
            self._arguments.pop(oldest, None)
        return known
