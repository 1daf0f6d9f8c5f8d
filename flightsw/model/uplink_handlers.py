"""What the telecommands of the uplink do."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flightsw.commanding.context import Completed, Deferred, Handler, Outcome, TelecommandContext
from flightsw.model.uplink import ModelUplink
from flightsw.telemetry.reporting import ReportEvent
from telecommands.dictionary import (
    BeginUplink,
    Code,
    DeleteUplink,
    EndUplink,
    ListUplinks,
    Record,
    UplinkChunk,
)
from telecommands.refusal import Refusal


def uplink_handlers(
    uplink: ModelUplink,
    take_on: Callable[[str, Callable[[], Record]], None],
    event: ReportEvent,
) -> Mapping[str, Handler]:
    """BEGIN_UPLINK, UPLINK_CHUNK, END_UPLINK, DELETE_UPLINK and LIST_UPLINKS.

    ``take_on`` runs a telecommand's work on another thread: verifying and unpacking takes seconds.
    """

    def begin(request: BeginUplink, _: TelecommandContext) -> Outcome:
        return Completed(uplink.begin(request.name, request.size, request.sha256))

    def store(request: UplinkChunk, _: TelecommandContext) -> Outcome:
        return Completed(uplink.store(request.name, request.offset, request.data))

    def end(request: EndUplink, context: TelecommandContext) -> Outcome:
        def finish() -> Record:
            name, key_id = request.name, context.key_id
            try:
                received = uplink.finish(name)
            except Refusal as refusal:
                if refusal.code is Code.UPLINK_DAMAGED:
                    event("UPLINK_DAMAGED", refusal.cause, name=name, key_id=key_id)
                raise
            message = f"model package {name} is in the inbox"
            event("UPLINK_RECEIVED", message, name=name, sha256=received.sha256, key_id=key_id)
            return received

        take_on(context.reference, finish)
        return Deferred()

    def delete(request: DeleteUplink, _: TelecommandContext) -> Outcome:
        uplink.delete(request.name)
        return Completed()

    def show(_request: ListUplinks, _: TelecommandContext) -> Outcome:
        return Completed(uplink.listing())

    return {
        BeginUplink.NAME: begin,
        UplinkChunk.NAME: store,
        EndUplink.NAME: end,
        DeleteUplink.NAME: delete,
        ListUplinks.NAME: show,
    }
