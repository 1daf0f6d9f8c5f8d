"""Asks for the schedule on board whenever its length changes, for the timeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from telecommands.ground.errors import GroundError

REQUEST: Final[Mapping[str, int]] = {"limit": 500}
"""Arguments of LIST_SCHEDULE: more entries than a schedule usually has."""


class ScheduleWatch:
    """``submit`` sends a telecommand; None: this bridge cannot command, and asks nothing."""

    def __init__(self, submit: Callable[[str, Mapping[str, Any]], str] | None) -> None:
        self._submit = submit
        self._known = 0

    def saw(self, scheduled: int) -> None:
        """Housekeeping reported this number of entries."""
        if self._submit is None or scheduled == self._known:
            return
        try:
            self._submit("LIST_SCHEDULE", REQUEST)
        except GroundError:  # too many telecommands are waiting: the next packet asks again
            return
        self._known = scheduled
