"""Asks the service for what telemetry does not carry, when telemetry shows that it may differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from telecommands.dictionary import Housekeeping
from telecommands.ground.errors import GroundError

SCHEDULE_REQUEST: Final[Mapping[str, Any]] = {"limit": 500}
"""Arguments of LIST_SCHEDULE: more entries than a schedule usually has."""

Submit: TypeAlias = Callable[[str, Mapping[str, Any]], str]


class ServiceQueries:
    """The schedule, if its length changes, and the parameters, at first and after each boot.

    ``submit`` sends a telecommand; None: this bridge cannot command, and asks nothing.
    """

    def __init__(self, submit: Submit | None) -> None:
        self._schedule = _Query(submit, "LIST_SCHEDULE", SCHEDULE_REQUEST, 0)
        self._parameters = _Query(submit, "GET_PARAMETER", {}, None)

    def take(self, housekeeping: Housekeeping, boot: int) -> None:
        """A packet of housekeeping was received from this boot."""
        self._parameters.take(boot)
        self._schedule.take(housekeeping.scheduled)


class _Query:
    """Asked when ``known`` differs."""

    def __init__(
        self, submit: Submit | None, name: str, args: Mapping[str, Any], known: int | None
    ) -> None:
        self._submit = submit
        self._name = name
        self._args = args
        self._known = known

    def take(self, now: int) -> None:
        if self._submit is None or now == self._known:
            return
        try:
            self._submit(self._name, self._args)
        except GroundError:  # too many telecommands are waiting: the next packet asks again
            return
        self._known = now
