"""From a received telecommand to its verification: each one closes, none runs twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import structlog

from flightsw.commanding.arming import ArmedTelecommands, arming_handlers
from flightsw.commanding.context import (
    Handler,
    Outcome,
    TelecommandContext,
    reference_of,
)
from flightsw.commanding.gate import AdmittedTelecommand, Gate
from flightsw.commanding.ledger import VerificationLedger
from flightsw.commanding.schedule import DueEntry, TelecommandSchedule, schedule_handlers
from flightsw.commanding.sent_at import SentAtWindow
from flightsw.commanding.tally import TelecommandTally
from flightsw.commanding.verification import failure_stages, outcome_stages, stage_of
from flightsw.errors import FlightError, StateUnavailable
from flightsw.state import StateFile
from flightsw.telemetry.reporting import ReportEvent
from telecommands.codec import convert_arguments
from telecommands.dictionary import (
    Arm,
    CloseContact,
    Code,
    DeleteProduct,
    DeleteUplink,
    Mode,
    OpenContact,
    Restart,
    Role,
    SelfTest,
    SetMode,
    ShutDown,
    Stage,
    Telecommand,
    TelecommandCounts,
    Verification,
)
from telecommands.hazard import is_hazardous
from telecommands.refusal import Refusal

_log: Final = structlog.get_logger(__name__)

_UNAUTHENTIC: Final = (Code.UNKNOWN_KEY, Code.BAD_MAC)
_USED_BEFORE: Final = (Code.REPLAYED, Code.OUT_OF_WINDOW)
_RESTRICTED: Final = MappingProxyType(
    {
        Mode.BOOT: "Wait until the service is OPERATIONAL (groundsim wait), then send it again",
        Mode.SAFE: "Remove the cause of SAFE, change the mode with SET_MODE, then send it again",
    }
)
"""What allows a telecommand again that is not allowed in the mode."""
# What they do shows in the files or ends with the process, so that they need no record of it.
_WITHOUT_RECORD: Final = (
    Arm.NAME,
    CloseContact.NAME,
    DeleteProduct.NAME,
    DeleteUplink.NAME,
    OpenContact.NAME,
    Restart.NAME,
    SelfTest.NAME,
    SetMode.NAME,
    ShutDown.NAME,
)


class Dispatcher:
    """Carries telecommands out through ``handlers`` (by name) and reports what became of them.

    The ``commanding`` thread calls :meth:`receive` and :meth:`run_due`; any thread may call
    :meth:`report`, :meth:`flush` and :meth:`counts`.  ``publish`` and listeners get each stage
    in its order.  Neither they nor ``event`` may block or raise.  ``clock`` gives UTC in
    nanoseconds, ``monotonic`` seconds.  ARM, SCHEDULE, UNSCHEDULE and LIST_SCHEDULE need no
    handler.
    """

    def __init__(
        self,
        gate: Gate,
        ledger: VerificationLedger,
        schedule: TelecommandSchedule,
        handlers: Mapping[str, Handler],
        *,
        armed: ArmedTelecommands,
        sent_at: SentAtWindow,
        mode: Callable[[], Mode],
        publish: Callable[[Verification], None],
        clock: Callable[[], int],
        monotonic: Callable[[], float],
        state: StateFile,
        event: ReportEvent,
    ) -> None:
        self._gate = gate
        self._ledger = ledger
        self._schedule = schedule
        self._armed = armed
        self._sent_at = sent_at
        self._monotonic = monotonic
        self._handlers = {
            **arming_handlers(armed, monotonic),
            **schedule_handlers(schedule, clock),
            **handlers,
        }
        self._mode = mode
        self._publish = publish
        self._clock = clock
        self._state = state
        self._event = event
        self._listeners: list[Callable[[Verification], None]] = []
        self._tally = TelecommandTally()

    def listen(self, listener: Callable[[Verification], None]) -> None:
        """Hand every stage that :meth:`report` adds to ``listener``, in the reporting thread."""
        self._listeners.append(listener)

    def receive(self, frames: Sequence[bytes], monotonic: float) -> tuple[Verification, ...]:
        """Carry out the telecommand in two received frames; the stages to answer now.

        A telecommand whose id is already known of its key is not run again; its stages so far are
        sent.
        """
        try:
            return self._obey(frames, monotonic)
        except Refusal as refusal:
            return self._turn_away(refusal)

    def report(
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
    ) -> Verification:
        """Add a stage to a telecommand (its reference) whose handler answered :class:`Deferred`.

        After a closing stage nothing changes: that one is returned.  Inside a transaction of the
        caller the stage is kept, or undone, with the rest of it, and published when it is kept.
        Raises StateUnavailable if it cannot be kept (report it again later), KeyError for one that
        was never accepted.
        """
        with self._state.reading():  # whose lock lets stages out in the order they are kept in
            latest = self._ledger.latest(telecommand)
            if latest is None:
                raise KeyError(f"telecommand {telecommand} was never accepted")
            if latest.stage.closes:
                return latest
            verification = stage_of(
                TelecommandContext(latest.id, latest.key_id, latest.at, latest.name),
                stage,
                self._clock(),
                cause=cause,
                cure=cure,
                code=code,
                step=step,
                of=of,
                data=dict(data or {}),
            )
            self._ledger.record(telecommand, verification)
            self._state.after_commit(lambda: self._announce(verification))
        return verification

    def run_due(self, now_ns: int, *, at_boot: bool) -> tuple[Verification, ...]:
        """Carry out what is due at ``now_ns`` (UTC); its stages, which are published too.

        A few entries a call, so it may be called often.  ``at_boot`` (once, when the mode lets
        telecommands run) deals with all of them, and what should not run late closes as FAILED
        MISSED.  What a key scheduled that is no longer authorised closes as FAILED UNKNOWN_KEY.
        Raises StateUnavailable if an entry cannot be taken off the schedule: it stays there, and
        the next call tries it again.
        """
        stages: list[Verification] = []
        while entries := self._schedule.due(now_ns):
            for entry in entries:
                stages += self._deal_with(entry, now_ns, at_boot=at_boot)
            if not at_boot:
                break
        return tuple(stages)

    def close_orphans(self, is_running: Callable[[str], bool]) -> None:
        """At boot: close as FAILED INTERRUPTED the telecommands that nothing works on any more."""
        for reference, _ in self._ledger.unclosed():
            if not is_running(reference):
                cause = "the service stopped before the telecommand was done"
                self.report(reference, Stage.FAILED, code=Code.INTERRUPTED, cause=cause)

    def flush(self) -> None:
        """Once a second and at shutdown: keep sequence windows, forget old telecommands.

        Raises StateUnavailable; the next call makes up for it.
        """
        self._gate.flush()
        self._ledger.prune()

    def counts(self) -> TelecommandCounts:
        """Telecommands since the service started, scheduled ones too, repeated ids not."""
        return self._tally.counts()

    # --- Ways of a telecommand ---------------------------------------------------------------

    def _obey(self, frames: Sequence[bytes], monotonic: float) -> tuple[Verification, ...]:
        try:
            admitted = self._gate.admit(frames, monotonic)
        except Refusal as refusal:
            # The same frames once more: their sender's answer was lost.
            if refusal.code in _USED_BEFORE:
                known = self._known(refusal.data["key_id"], refusal.data["id"])
                if known:
                    return known
            raise
        return self._known(admitted.key_id, admitted.body.id) or self._begin(admitted)

    def _turn_away(self, refusal: Refusal) -> tuple[Verification, ...]:
        """Answer the sender alone, and keep nothing: the id may be another sender's."""
        data = refusal.data
        context = TelecommandContext(
            data.pop("id", ""), data.pop("key_id", ""), 0, data.pop("name", "")
        )
        stages = failure_stages(context, refusal, self._clock())
        self._count(stages[0])
        return stages

    def _begin(self, admitted: AdmittedTelecommand) -> tuple[Verification, ...]:
        body, key_id = admitted.body, admitted.key_id
        context = TelecommandContext(body.id, key_id, self._clock(), body.name, admitted.key)
        try:
            self._sent_at.check(body.sent_at, context.received_ns)
            telecommand = convert_arguments(body.name, body.args)
            self._armed.check(key_id, telecommand, body.arm, self._monotonic())
            action = partial(self._handle, telecommand, context)
            if not telecommand.READ_ONLY:
                stages = self._change(context, action, partial(self._gate.keep, admitted.key))
                self._armed.spend(key_id, body.arm)
                return stages
            return self._answer(context, outcome_stages(context, action(), self._clock()))
        except Exception as error:  # noqa: BLE001 - whatever a handler does, the service lives
            return self._answer(context, self._failed(context, error))

    def _answer(
        self, context: TelecommandContext, stages: tuple[Verification, ...]
    ) -> tuple[Verification, ...]:
        self._keep(context, stages, durable=False)
        return self._publish_all(stages)

    def _deal_with(self, due: DueEntry, now_ns: int, *, at_boot: bool) -> tuple[Verification, ...]:
        if not self._gate.knows(due.key_id):
            cause = f"the key {due.key_id}, which scheduled it, may no longer command"
            return self._miss(due, now_ns, Code.UNKNOWN_KEY, cause)
        if at_boot and due.if_missed == "report":
            late = (now_ns - due.at) / 1e9
            cause = f"its time passed {late:.1f} s ago, while the service was down"
            return self._miss(due, now_ns, Code.MISSED, cause)
        return self._run(due, now_ns)

    def _run(self, due: DueEntry, now_ns: int) -> tuple[Verification, ...]:
        context = TelecommandContext(due.entry, due.key_id, now_ns, due.name)

        def action() -> Outcome:
            return self._handle(convert_arguments(due.name, due.args), context)

        return self._change(context, action, partial(self._schedule.take, due.entry))

    def _miss(self, due: DueEntry, now_ns: int, code: Code, cause: str) -> tuple[Verification, ...]:
        context = TelecommandContext(due.entry, due.key_id, now_ns, due.name)
        stages = (stage_of(context, Stage.FAILED, self._clock(), code=code, cause=cause),)
        with self._state.transaction():
            self._schedule.take(due.entry)
            self._keep(context, stages, durable=True)
        message = f"{due.name} was not run: {cause}"
        self._event("SCHEDULE_MISSED", message, entry=due.entry, name=due.name, at=due.at)
        return self._publish_all(stages)

    def _change(
        self, context: TelecommandContext, action: Callable[[], Outcome], claim: Callable[[], None]
    ) -> tuple[Verification, ...]:
        """Do all of it, with its verification, or nothing; ``claim`` uses up what led to it.

        Raises StateUnavailable, with nothing changed, if the state file cannot be written.
        """
        with self._state.reading():  # whose lock lets stages out in the order they are kept in
            try:
                with self._state.transaction():
                    claim()
                    stages = outcome_stages(context, action(), self._clock())
                    self._keep(context, stages, durable=True)
            except StateUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a handler does, the service lives
                stages = self._failed(context, error)
                with self._state.transaction():
                    claim()
                    self._keep(context, stages, durable=True)
            return self._publish_all(stages)

    def _handle(self, telecommand: Telecommand, context: TelecommandContext) -> Outcome:
        if is_hazardous(telecommand):
            self._gate.require(context.key_id, Role.HAZARDOUS, context.name)
        mode = self._mode()
        if mode in _RESTRICTED and not (telecommand.IN_SAFE or telecommand.READ_ONLY):
            cause = f"{context.name} is not allowed in {mode.value}"
            raise Refusal(Code.NOT_IN_THIS_MODE, cause, _RESTRICTED[mode])
        lasts = not telecommand.READ_ONLY and context.name not in _WITHOUT_RECORD
        if lasts and self._state.volatile:
            cause = f"{context.name} cannot be recorded because the disk is full"
            raise Refusal(Code.STATE_UNAVAILABLE, cause, "Delete products, or free the disk")
        handler = self._handlers.get(context.name)
        if handler is None:
            raise Refusal(Code.UNKNOWN_TELECOMMAND, f"{context.name} has no handler here")
        return handler(telecommand, context)

    # --- Verification ------------------------------------------------------------------------

    def _known(self, key_id: str, telecommand: str) -> tuple[Verification, ...]:
        try:
            return self._ledger.known(reference_of(key_id, telecommand))
        except StateUnavailable as error:
            cure = "Send the telecommand again"
            raise Refusal(Code.STATE_UNAVAILABLE, str(error), cure, id=telecommand) from error

    def _failed(self, context: TelecommandContext, error: Exception) -> tuple[Verification, ...]:
        if not isinstance(error, (Refusal, FlightError)):
            _log.error("telecommand failed", id=context.id, name=context.name, exc_info=error)
            message = f"{context.name} failed with {type(error).__name__}"
            self._event("INTERNAL_FAULT", message, id=context.id, name=context.name)
        return failure_stages(context, error, self._clock())

    def _keep(
        self, context: TelecommandContext, stages: Sequence[Verification], *, durable: bool
    ) -> None:
        self._ledger.open(
            context.reference, context.name, context.key_id, context.received_ns, durable=durable
        )
        for stage in stages:
            self._ledger.record(context.reference, stage)

    def _announce(self, verification: Verification) -> None:
        self._publish(verification)
        for listener in self._listeners:
            listener(verification)

    def _publish_all(self, stages: tuple[Verification, ...]) -> tuple[Verification, ...]:
        self._count(stages[0])
        for stage in stages:
            self._publish(stage)
        return stages

    def _count(self, first: Verification) -> None:
        self._tally.add(first)
        if first.stage is Stage.REJECTED and first.code:
            self._event(
                "AUTHENTICATION_FAILED" if first.code in _UNAUTHENTIC else "TELECOMMAND_REJECTED",
                first.cause,
                code=first.code.value,
                id=first.id,
                name=first.name,
                key_id=first.key_id,
            )
