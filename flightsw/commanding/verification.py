"""The stages that answer a telecommand: of what its handler made of it, or of why it failed."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from flightsw.commanding.context import Deferred, Outcome, TelecommandContext
from flightsw.errors import FlightError
from telecommands.dictionary import Code, Stage, Verification
from telecommands.refusal import Refusal

_TEXT: Final = 1000  # characters of a cause or cure that are sent


def stage_of(
    context: TelecommandContext,
    stage: Stage,
    at: int,
    *,
    cause: str = "",
    cure: str = "",
    **fields: Any,
) -> Verification:
    """One stage, reached at ``at`` (UTC, ns); ``fields`` are further ones of Verification."""
    return Verification(
        id=context.id,
        name=context.name,
        stage=stage,
        at=at,
        key_id=context.key_id,
        cause=_sendable(cause),
        cure=_sendable(cure),
        **fields,
    )


def outcome_stages(
    context: TelecommandContext, outcome: Outcome, at: int
) -> tuple[Verification, ...]:
    """The immediate answer, when the handler has returned at ``at``."""
    if isinstance(outcome, Deferred):
        return (stage_of(context, Stage.ACCEPTED, at, data=dict(outcome.data)),)
    data = {} if outcome.data is None else msgspec.to_builtins(outcome.data)
    return (*_begun(context), stage_of(context, Stage.COMPLETED, at, data=data))


def failure_stages(
    context: TelecommandContext, error: Exception, at: int
) -> tuple[Verification, ...]:
    """REJECTED for a Refusal; for anything else FAILED, with its code or as INTERNAL."""
    if isinstance(error, Refusal):
        code, cause, cure, data = error.code, error.cause, error.cure, error.data
        stage = stage_of(
            context, Stage.REJECTED, at, code=code, cause=cause, cure=cure, data=dict(data)
        )
        return (stage,)
    if isinstance(error, FlightError):
        code = failure_code(error)
        cause, cure = error.sentence, error.cure
    else:
        code, cause, cure = Code.INTERNAL, Code.INTERNAL.doc, ""
    failed = stage_of(context, Stage.FAILED, at, code=code, cause=cause, cure=cure)
    return (*_begun(context), failed)


def failure_code(error: FlightError) -> Code:
    """The interface's code of an error; INTERNAL if the interface has none."""
    return Code.__members__.get(error.code, Code.INTERNAL)


def _begun(context: TelecommandContext) -> tuple[Verification, Verification]:
    at = context.received_ns
    return stage_of(context, Stage.ACCEPTED, at), stage_of(context, Stage.STARTED, at)


def _sendable(text: str) -> str:
    """Bounded, and without what UTF-8 cannot hold (file names may have such)."""
    return text[:_TEXT].encode("utf-8", "replace").decode("utf-8")
