"""What the dispatcher and the handlers of telecommands say to each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from telecommands.auth import TelecommandKey
from telecommands.dictionary import Record


def reference_of(key_id: str, telecommand: str) -> str:
    """The reference of a key's telecommand, given its id; a key's name and an id hold no slash."""
    return f"{key_id}/{telecommand}"


@dataclass(frozen=True)
class TelecommandContext:
    """Whose telecommand a handler carries out; ``received_ns`` is UTC in nanoseconds.

    ``signed_by`` is the key that signed it; None if it comes from the schedule.
    """

    id: str
    key_id: str
    received_ns: int
    name: str = ""
    signed_by: TelecommandKey | None = None

    @property
    def reference(self) -> str:
        """What the service calls it: ids of different keys may be equal."""
        return reference_of(self.key_id, self.id)


@dataclass(frozen=True)
class Completed:
    """Carried out: ACCEPTED, STARTED and COMPLETED with ``data`` are the answer."""

    data: Record | None = None


@dataclass(frozen=True)
class Deferred:
    """Taken on: ACCEPTED with ``data`` is answered; the other stages follow by report."""

    data: Mapping[str, Any] = field(default_factory=dict)


Outcome: TypeAlias = Completed | Deferred

Handler: TypeAlias = Callable[[Any, TelecommandContext], Outcome]
"""Carries out one kind of telecommand, whose arguments come first (hence Any).

Raises :class:`~telecommands.refusal.Refusal` before it changed anything, or a
:class:`~flightsw.errors.FlightError`; what it changed in the state file is then undone.  Handlers
of telecommands that change something run inside a transaction, so they hold the state file's lock:
they must not wait for a lock whose owner may wait for the state file.  Handlers of READ_ONLY
telecommands write nothing.
"""
