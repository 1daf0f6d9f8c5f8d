"""What the service's parts report to ground, and the clocks they report by.

Names of events and stages are typed, so that mypy finds a misspelt one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from telecommands.dictionary import Code, EventName, Stage


class ReportEvent(Protocol):
    """Reports an event of the dictionary; never blocks or raises."""

    def __call__(self, event: EventName, message: str, /, **fields: Any) -> None: ...  # noqa: D102


class ReportStage(Protocol):
    """Adds a stage to the verification of a telecommand; raises StateUnavailable."""

    def __call__(  # noqa: D102
        self,
        telecommand: str,
        stage: Stage,
        /,
        *,
        code: Code | None = None,
        cause: str = "",
        cure: str = "",
        step: int = 0,
        of: int = 0,
        data: Mapping[str, Any] | None = None,
    ) -> object: ...


@dataclass(frozen=True)
class ServicePorts:
    """What every part of the service needs: reports, its thread's heartbeat, the clocks.

    ``clock`` gives UTC in nanoseconds, ``monotonic`` seconds.
    """

    report: ReportStage
    event: ReportEvent
    heartbeat: Callable[[], None]
    clock: Callable[[], int]
    monotonic: Callable[[], float]
