"""The stages that answer a telecommand: of what its handler made of it, or of why it failed."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from flightsw.commanding.orders import Later, Order, Outcome
from flightsw.errors import FlightError
from telecommands.dictionary import Code, Stage, Verification
from telecommands.refusal import Refusal

_TEXT: Final = 1000  # characters of a cause or cure that are told


def stage_of(
    order: Order, stage: Stage, at: int, *, cause: str = "", cure: str = "", **told: Any
) -> Verification:
    """One stage, reached at ``at`` (UTC, ns); ``told`` are further fields of Verification."""
    return Verification(
        id=order.id,
        name=order.name,
        stage=stage,
        at=at,
        key_id=order.key_id,
        cause=_sendable(cause),
        cure=_sendable(cure),
        **told,
    )


def outcome_stages(order: Order, outcome: Outcome, at: int) -> tuple[Verification, ...]:
    """What is answered at once, when the handler has returned at ``at``."""
    if isinstance(outcome, Later):
        return (stage_of(order, Stage.ACCEPTED, at, data=dict(outcome.data)),)
    data = {} if outcome.data is None else msgspec.to_builtins(outcome.data)
    return (*_begun(order), stage_of(order, Stage.COMPLETED, at, data=data))


def failure_stages(order: Order, error: Exception, at: int) -> tuple[Verification, ...]:
    """REJECTED for a Refusal; for anything else FAILED, with its code or as INTERNAL."""
    if isinstance(error, Refusal):
        code, cause, cure, data = error.code, error.cause, error.cure, error.data
        stage = stage_of(
            order, Stage.REJECTED, at, code=code, cause=cause, cure=cure, data=dict(data)
        )
        return (stage,)
    if isinstance(error, FlightError):
        code = failure_code(error)
        cause, cure = f"{error.subject}: {error.cause}", error.cure
    else:
        code, cause, cure = Code.INTERNAL, Code.INTERNAL.doc, ""
    failed = stage_of(order, Stage.FAILED, at, code=code, cause=cause, cure=cure)
    return (*_begun(order), failed)


def failure_code(error: FlightError) -> Code:
    """The interface's code of an error; INTERNAL where it is none of the sender's business."""
    return Code.__members__.get(error.code, Code.INTERNAL)


def _begun(order: Order) -> tuple[Verification, Verification]:
    at = order.received_ns
    return stage_of(order, Stage.ACCEPTED, at), stage_of(order, Stage.STARTED, at)


def _sendable(text: str) -> str:
    """Bounded, and without what UTF-8 cannot hold (file names may have such)."""
    return text[:_TEXT].encode("utf-8", "replace").decode("utf-8")
