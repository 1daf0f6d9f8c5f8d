"""Which report belongs to which stage of a telecommand.  No link, no clock of its own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import msgspec

from telecommands.dictionary import Code, GetParameter, ParameterValues, Stage, Verification
from telecommands.gateway.layout import LayoutError
from telecommands.gateway.packets import (
    Report,
    connection_report,
    parameter_report,
    verification_report,
)
from telecommands.gateway.requests import REQUEST_ID_BYTES, Rejection, Request
from telecommands.gateway.schedule_file import ScheduledRequest
from telecommands.gateway.status import Fault
from telecommands.ground.commanding_link import ANSWER_S, FOLLOW_S

MOST_OPEN: Final = 1000
"""Telecommands, and schedule entries, that are followed; the oldest are forgotten first."""

_WANTED: Final = {
    Stage.ACCEPTED: 0b1000,
    Stage.STARTED: 0b0100,
    Stage.PROGRESS: 0b0010,
    Stage.COMPLETED: 0b0001,
}


class _OpenTelecommand(msgspec.Struct):
    request: Request
    until: float
    accepted: bool = False


class Verifications:
    """Follows the telecommands of this gateway; times are monotonic seconds.

    ``scheduled`` are those that an earlier gateway scheduled; ``keep`` is called with all of them
    when they change.
    """

    def __init__(
        self,
        unit: str,
        scheduled: Iterable[ScheduledRequest] = (),
        keep: Callable[[Iterable[ScheduledRequest]], None] = lambda _scheduled: None,
    ) -> None:
        self._unit, self._keep = unit, keep
        self._open: OrderedDict[str, _OpenTelecommand] = OrderedDict()
        self._entries = OrderedDict((one.entry, one) for one in scheduled)

    def __len__(self) -> int:
        return len(self._open)

    def open(self, telecommand: str, request: Request, now: float) -> None:
        """Follow a telecommand that was sent under this id."""
        self._open[telecommand] = _OpenTelecommand(request, now + ANSWER_S)
        if len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)

    def entry_of(self, inner: bytes) -> str | None:
        """The schedule entry of the telecommand with this request id; None if it is unknown."""
        return next((one.entry for one in self._entries.values() if one.request == inner), None)

    def answered(self, stage: Verification, now: float) -> Iterator[Report]:
        """Reports of a stage that the service answered.

        Raises :class:`~telecommands.gateway.layout.LayoutError`, after the report of the stage.
        """
        one = self._open.get(stage.id)
        if one is None:
            return
        one.accepted, one.until = True, now + FOLLOW_S
        if stage.stage.closes:
            del self._open[stage.id]
        yield from self._reports(one.request.id, one.request.acks, stage)
        if one.request.inner:
            yield from self._scheduled(one.request, stage)
        elif stage.stage is Stage.COMPLETED:
            yield from self._completed(one.request, stage)

    def published(self, stage: Verification, key_id: str) -> Iterator[Report]:
        """Reports of a stage that telemetry has: those of scheduled telecommands."""
        known = self._entries.get(stage.id)
        if known is None or stage.key_id not in ("", key_id):
            return
        if stage.stage.closes:
            del self._entries[stage.id]
            self._keep(self._entries.values())
        yield from self._reports(known.request, known.acks, stage)

    def rejected(self, request: bytes, rejection: Rejection, at: int) -> Iterator[Report]:
        """The reports of a request that is not sent; ``at`` is UTC in nanoseconds."""
        code = _CODES.get(rejection.fault, Code.MALFORMED)
        for one in (request, rejection.inner):
            if len(one) == REQUEST_ID_BYTES:  # a packet that is cut short has none
                yield self._failure(one, Stage.REJECTED, at, rejection.cause, rejection.cure, code)

    def failed(
        self, request: Request, cause: str, cure: str, at: int, *, accepted: bool = False
    ) -> Iterator[Report]:
        """The reports of a request that did not reach the service, or is not followed any more."""
        for one in filter(None, (request.id, request.inner)):
            stage = Stage.FAILED if accepted and one == request.id else Stage.REJECTED
            yield self._failure(one, stage, at, cause, cure)

    def overdue(self, now: float, at: int) -> Iterator[tuple[str, list[Report]]]:
        """Telecommands that are given up, with their last reports."""
        for telecommand, one in list(self._open.items()):
            if now >= one.until:
                del self._open[telecommand]
                cause = f"the service did not {'close' if one.accepted else 'answer'} it"
                yield telecommand, self._last(one, cause, _LOOK, at)

    def lost(self, cause: str, cure: str, at: int) -> Iterator[tuple[str, list[Report]]]:
        """All open telecommands, closed because the link cannot be used."""
        for telecommand, one in self._open.items():
            yield telecommand, self._last(one, cause, cure, at)
        self._open.clear()

    def _last(self, one: _OpenTelecommand, cause: str, cure: str, at: int) -> list[Report]:
        return list(self.failed(one.request, cause, cure, at, accepted=one.accepted))

    def _completed(self, request: Request, stage: Verification) -> Iterator[Report]:
        if request.service == 17:
            yield connection_report(self._unit, stage.at)
        elif request.name == GetParameter.NAME and request.service == 20:
            try:
                values = msgspec.convert(stage.data, ParameterValues)
            except msgspec.ValidationError as error:
                raise LayoutError(f"the answer does not hold parameters: {error}") from error
            for one in values.parameters:
                yield parameter_report(one.name, one.value, self._unit, stage.at)

    def _scheduled(self, request: Request, stage: Verification) -> Iterator[Report]:
        """The telecommand inside an insertion is accepted with it, or rejected with it."""
        if stage.stage is Stage.COMPLETED:
            entry = str(stage.data.get("entry"))
            self._entries[entry] = ScheduledRequest(entry, request.inner, request.inner_acks)
            if len(self._entries) > MOST_OPEN:
                self._entries.popitem(last=False)
            self._keep(self._entries.values())
            accepted = msgspec.structs.replace(stage, stage=Stage.ACCEPTED)
            yield from self._reports(request.inner, request.inner_acks, accepted)
        elif stage.stage.closes:
            rejected = msgspec.structs.replace(stage, stage=Stage.REJECTED)
            yield from self._reports(request.inner, request.inner_acks, rejected)

    def _reports(self, request: bytes, acks: int, stage: Verification) -> Iterator[Report]:
        """Success is reported if the sender wants it, failure always."""
        wanted = _WANTED.get(stage.stage)
        if wanted is None or acks & wanted:
            yield verification_report(request, stage, self._unit)

    def _failure(
        self, request: bytes, stage: Stage, at: int, cause: str, cure: str, code: Code | None = None
    ) -> Report:
        verification = Verification(
            id="", name="", stage=stage, at=at, code=code, cause=cause, cure=cure
        )
        return verification_report(request, verification, self._unit)


_LOOK: Final = "Check the link, and the service log"
_CODES: Final[Mapping[Fault, Code]] = {
    "BAD_ARGUMENTS": Code.BAD_ARGUMENTS,
    "UNKNOWN_SERVICE": Code.UNKNOWN_TELECOMMAND,
    "HAZARDOUS": Code.NOT_PERMITTED,
    "QUEUE_FULL": Code.QUEUE_FULL,
}
