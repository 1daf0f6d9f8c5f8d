"""Which report belongs to which stage of a telecommand.  No link, no clock of its own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

import msgspec

from telecommands.dictionary import Code, GetParameter, ParameterValues, Ping, Stage, Verification
from telecommands.gateway.packets import (
    Report,
    connection_report,
    parameter_report,
    verification_report,
)
from telecommands.gateway.requests import Rejection, Request

MOST_OPEN: Final = 1000
"""Telecommands, and schedule entries, that are followed; the oldest are forgotten first."""

ANSWER_S: Final = 30.0
"""A telecommand without an answer for this long is closed as failed."""

FOLLOW_S: Final = 86_400.0
"""An accepted telecommand is followed for this long: a job may wait in the queue."""

_WANTED: Final = {
    Stage.ACCEPTED: 0b1000,
    Stage.STARTED: 0b0100,
    Stage.PROGRESS: 0b0010,
    Stage.COMPLETED: 0b0001,
}


class _Open(msgspec.Struct):
    request: Request
    until: float
    accepted: bool = False


class Verifications:
    """Follows the telecommands of this gateway; times are monotonic seconds."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._entries: OrderedDict[str, tuple[bytes, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def open(self, telecommand: str, request: Request, now: float) -> None:
        """Follow a telecommand that was sent under this id."""
        self._open[telecommand] = _Open(request, now + ANSWER_S)
        if len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)

    def entry_of(self, inner: bytes) -> str | None:
        """The schedule entry of the telecommand with this request id; None if it is unknown."""
        return next((entry for entry, (one, _) in self._entries.items() if one == inner), None)

    def answered(self, stage: Verification, now: float) -> Iterator[Report]:
        """Reports of a stage that the service answered."""
        one = self._open.get(stage.id)
        if one is None:
            return
        one.accepted, one.until = True, now + FOLLOW_S
        if stage.stage.closes:
            del self._open[stage.id]
        yield from self._reports(one.request.id, one.request.acks, stage)
        if stage.stage is Stage.COMPLETED:
            yield from self._completed(one.request, stage)

    def published(self, stage: Verification, key_id: str) -> Iterator[Report]:
        """Reports of a stage that telemetry has: those of scheduled telecommands."""
        known = self._entries.get(stage.id)
        if known is None or stage.key_id not in ("", key_id):
            return
        if stage.stage.closes:
            del self._entries[stage.id]
        yield from self._reports(*known, stage)

    def rejected(self, request: bytes, rejection: Rejection, at: int) -> Report:
        """The report of a request that is not sent; ``at`` is UTC in nanoseconds."""
        code = Code.MALFORMED
        if rejection.fault in ("BAD_ARGUMENTS", "HAZARDOUS", "QUEUE_FULL"):
            code = Code[_CODES[rejection.fault]]
        return self._failure(request, Stage.REJECTED, at, code, rejection.cause, rejection.cure)

    def failed(self, request: Request, cause: str, cure: str, at: int) -> Report:
        """The report of a request that did not reach the service."""
        return self._failure(request.id, Stage.REJECTED, at, None, cause, cure)

    def overdue(self, now: float, at: int) -> Iterator[tuple[str, Report]]:
        """Telecommands that are given up, with their last reports."""
        for telecommand, one in list(self._open.items()):
            if now < one.until:
                continue
            del self._open[telecommand]
            stage = Stage.FAILED if one.accepted else Stage.REJECTED
            cause = "the service did not close it" if one.accepted else "the service did not answer"
            yield telecommand, self._failure(one.request.id, stage, at, None, cause, _LOOK)

    def lost(self, cause: str, cure: str, at: int) -> Iterator[tuple[str, Report]]:
        """All open telecommands, closed because the link cannot be used."""
        for telecommand, one in self._open.items():
            stage = Stage.FAILED if one.accepted else Stage.REJECTED
            yield telecommand, self._failure(one.request.id, stage, at, None, cause, cure)
        self._open.clear()

    def _completed(self, request: Request, stage: Verification) -> Iterator[Report]:
        if request.inner and isinstance(entry := stage.data.get("entry"), str):
            self._entries[entry] = (request.inner, request.inner_acks)
            if len(self._entries) > MOST_OPEN:
                self._entries.popitem(last=False)
        elif request.service == 17 and request.name == Ping.NAME:
            yield connection_report(self._unit, stage.at)
        elif request.service == 20 and request.name == GetParameter.NAME:
            values = msgspec.convert(stage.data, ParameterValues)
            for one in values.parameters:
                yield parameter_report(one.name, one.value, self._unit, stage.at)

    def _reports(self, request: bytes, acks: int, stage: Verification) -> Iterator[Report]:
        """Success is reported if the sender wants it, failure always."""
        wanted = _WANTED.get(stage.stage)
        if wanted is None or acks & wanted:
            yield verification_report(request, stage, self._unit)

    def _failure(
        self, request: bytes, stage: Stage, at: int, code: Code | None, cause: str, cure: str
    ) -> Report:
        verification = Verification(
            id="", name="", stage=stage, at=at, code=code, cause=cause, cure=cure
        )
        return verification_report(request, verification, self._unit)


_LOOK: Final = "Check the link, and the service log"
_CODES: Final = {
    "BAD_ARGUMENTS": "BAD_ARGUMENTS",
    "HAZARDOUS": "NOT_PERMITTED",
    "QUEUE_FULL": "QUEUE_FULL",
}
