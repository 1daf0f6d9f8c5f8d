"""What each telecommand does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flightsw.commanding.context import Completed, Deferred, Handler, Outcome, TelecommandContext
from flightsw.commanding.parameters import ParameterStore, parameter_handlers
from flightsw.downlink.catalogue import ProductCatalogue
from flightsw.downlink.contact import ContactWindow
from flightsw.errors import EngineUnavailable
from flightsw.fdir.modes import ModeMachine
from flightsw.host.confinement import confined
from flightsw.jobs.queue import JobQueue
from flightsw.jobs.requested_area import requested_area
from flightsw.jobs.worker import Processing
from flightsw.keys import ClientKey
from flightsw.model.slots import ModelSlots, SlotState
from flightsw.model.uplink import ModelUplink
from flightsw.model.uplink_handlers import uplink_handlers
from flightsw.scene.listing import list_scenes
from flightsw.telemetry.reporting import ServicePorts
from telecommands.auth import TelecommandKey
from telecommands.dictionary import (
    ActivateModel,
    CancelJob,
    CloseContact,
    Code,
    DeleteProduct,
    HoldProduct,
    JobState,
    LatestPackets,
    ListJobs,
    ListProducts,
    ListScenes,
    Mode,
    ModelResult,
    OpenContact,
    Ping,
    Pong,
    PrioritiseProduct,
    ProcessScene,
    ReleaseProduct,
    ReportLatest,
    Restart,
    RollBackModel,
    RotatedKey,
    RotateKey,
    SelfTest,
    SelfTestResult,
    SetMode,
    ShutDown,
    Stage,
    StageModel,
    Topic,
)
from telecommands.keys import fingerprint, wrap_secret
from telecommands.refusal import Refusal
from telecommands.units import size

RESTART_STATUS: Final = 75
"""Exit status after RESTART: EX_TEMPFAIL, at which systemd starts the service again."""


@dataclass(frozen=True)
class Handlers:
    """The handlers of all telecommands but SCHEDULE, UNSCHEDULE and LIST_SCHEDULE.

    ``resend`` repeats the latest packets, ``rotate`` replaces a client's key, ``end`` makes the
    service stop with an exit status, at the command of a key; ``started`` is monotonic seconds.
    """

    jobs: JobQueue
    catalogue: ProductCatalogue
    contact: ContactWindow
    parameters: ParameterStore
    modes: ModeMachine
    slots: ModelSlots
    uplink: ModelUplink
    processing: Processing
    scene_root: Path
    ports: ServicePorts
    resend: Callable[[tuple[Topic, ...]], int]
    rotate: Callable[[str, TelecommandKey, ClientKey, int], None]
    end: Callable[[int, str], None]
    started: float

    def table(self) -> Mapping[str, Handler]:
        """Handlers by the telecommand's name."""
        return {
            **parameter_handlers(self.parameters),
            **uplink_handlers(self.uplink, self.processing.take_on, self.ports.event),
            Ping.NAME: self._ping,
            ProcessScene.NAME: self._process_scene,
            CancelJob.NAME: self._cancel_job,
            ListJobs.NAME: lambda request, _: Completed(self.jobs.list(request)),
            ListScenes.NAME: lambda request, _: Completed(list_scenes(self.scene_root, request)),
            SetMode.NAME: self._set_mode,
            SelfTest.NAME: self._self_test,
            ListProducts.NAME: lambda request, _: Completed(self.catalogue.list(request)),
            HoldProduct.NAME: self._hold,
            ReleaseProduct.NAME: self._release,
            PrioritiseProduct.NAME: self._prioritise,
            DeleteProduct.NAME: self._delete,
            OpenContact.NAME: self._open_contact,
            CloseContact.NAME: self._close_contact,
            StageModel.NAME: self._stage_model,
            ActivateModel.NAME: self._activate_model,
            RollBackModel.NAME: self._roll_back_model,
            ReportLatest.NAME: self._report_latest,
            RotateKey.NAME: self._rotate_key,
            Restart.NAME: self._restart,
            ShutDown.NAME: self._shut_down,
        }

    # --- The service -------------------------------------------------------------------------

    def _ping(self, _: Ping, _context: TelecommandContext) -> Outcome:
        uptime_s = self.ports.monotonic() - self.started
        return Completed(Pong(t=self.ports.clock(), mode=self.modes.mode, uptime_s=uptime_s))

    def _set_mode(self, request: SetMode, context: TelecommandContext) -> Outcome:
        self.modes.request(Mode(request.mode), context.key_id)
        return Completed()

    def _report_latest(self, request: ReportLatest, _: TelecommandContext) -> Outcome:
        return Completed(LatestPackets(sent=self.resend(request.topics)))

    def _rotate_key(self, request: RotateKey, context: TelecommandContext) -> Outcome:
        signed, public = context.signed_by, request.public.encode()
        if signed is None:
            cause = "ROTATE_KEY cannot be scheduled: the key that signs it may be another by then"
            raise Refusal(Code.BAD_ARGUMENTS, cause, "Send it when it is needed")
        if request.old_until < self.ports.clock():
            raise Refusal(Code.TIME_PASSED, "old_until has passed", "Give a later time")
        secret = wrap_secret(signed, bytes.fromhex(request.nonce), bytes.fromhex(request.secret))
        new = ClientKey(public, TelecommandKey(context.key_id, secret))
        self.rotate(context.key_id, signed, new, request.old_until)
        found = RotatedKey(fingerprint=fingerprint(public), old_until=request.old_until)
        self.ports.event(
            "KEY_ROTATED",
            f"{context.key_id} has a new key, {found.fingerprint}",
            key_id=context.key_id,
            fingerprint=found.fingerprint,
            old_until=request.old_until,
        )
        return Completed(found)

    def _restart(self, _: Restart, context: TelecommandContext) -> Outcome:
        self.end(RESTART_STATUS, context.key_id)
        return Completed()

    def _shut_down(self, _: ShutDown, context: TelecommandContext) -> Outcome:
        self.end(0, context.key_id)
        return Completed()

    # --- Jobs --------------------------------------------------------------------------------

    def _process_scene(self, request: ProcessScene, context: TelecommandContext) -> Outcome:
        requested_area(request)  # a wrong one is refused now, not when its turn comes
        if not confined(self.scene_root, request.scene).exists():
            cause = f"{request.scene} does not exist below the scene root"
            raise Refusal(
                Code.SCENE_NOT_FOUND, cause, "Upload it, or correct the path (LIST_SCENES)"
            )
        job = self.jobs.add(context.reference, request, self.ports.clock())
        self.processing.wake()
        return Deferred({"job": job.id})

    def _cancel_job(self, request: CancelJob, context: TelecommandContext) -> Outcome:
        record = self.jobs.cancel(request.job, self.ports.clock())
        if record.state is not JobState.CANCELLED:
            self.processing.cancel(request.job)
            return Deferred({"job": request.job})  # until the job's end is recorded
        job = self.jobs.job(request.job)
        cause = record.cause
        self.ports.report(job.telecommand, Stage.CANCELLED, code=Code.CANCELLED, cause=cause)
        message = f"{job.id} is CANCELLED: {cause}"
        code = Code.CANCELLED.value
        self.ports.event("JOB_FAILED", message, job=job.id, code=code, key_id=context.key_id)
        return Completed()

    # --- Engine and models: between two scenes, by the processing thread -----------------------

    def _self_test(self, _: SelfTest, context: TelecommandContext) -> Outcome:
        self.processing.take_on(context.reference, self._run_self_test)
        return Deferred()

    def _run_self_test(self) -> SelfTestResult:
        self.processing.chain.close()  # the first engine of the chain gets its chance again
        report = self.processing.check_engine()
        if report is None:
            raise EngineUnavailable(
                "no engine", "could be opened", "See ENGINE_UNAVAILABLE in the event log"
            )
        if not report.passed:
            raise Refusal(Code.SELF_TEST_FAILED, report.as_text(), "Restart, or change the model")
        return SelfTestResult(
            passed=report.passed,
            device=report.engine,
            model=report.model_id,
            tiles=report.tiles,
            findings=(),
        )

    def _stage_model(self, request: StageModel, context: TelecommandContext) -> Outcome:
        def stage() -> ModelResult:
            slots = self.slots.stage(request.package, request.sha256)
            self.ports.event(
                "MODEL_STAGED",
                f"model package {slots.staged} is ready to be activated",
                model=slots.staged,
                key_id=context.key_id,
            )
            return _model_result(slots)

        self.processing.take_on(context.reference, stage)
        return Deferred()

    def _activate_model(self, request: ActivateModel, context: TelecommandContext) -> Outcome:
        def activate() -> ModelResult:
            return self._report_activated(
                self.slots.activate(request.model, self.processing.chain.test), context.key_id
            )

        self.processing.take_on(context.reference, activate)
        return Deferred()

    def _roll_back_model(self, _: RollBackModel, context: TelecommandContext) -> Outcome:
        def roll_back() -> ModelResult:
            return self._report_activated(self.slots.roll_back(), context.key_id)

        self.processing.take_on(context.reference, roll_back)
        return Deferred()

    def _report_activated(self, slots: SlotState, key_id: str) -> ModelResult:
        message = f"model {slots.active} is now active"
        self.ports.event("MODEL_ACTIVATED", message, model=slots.active, key_id=key_id)
        self.processing.check_engine()
        return _model_result(slots)

    # --- Downlink ----------------------------------------------------------------------------

    def _hold(self, request: HoldProduct, _: TelecommandContext) -> Outcome:
        self.catalogue.hold(request.product)
        return Completed()

    def _release(self, request: ReleaseProduct, _: TelecommandContext) -> Outcome:
        self.catalogue.release(request.product)
        return Completed()

    def _prioritise(self, request: PrioritiseProduct, _: TelecommandContext) -> Outcome:
        self.catalogue.prioritise(request.product, request.priority)
        return Completed()

    def _delete(self, request: DeleteProduct, _: TelecommandContext) -> Outcome:
        self.catalogue.delete(request.product)
        return Completed()

    def _open_contact(self, request: OpenContact, context: TelecommandContext) -> Outcome:
        self.contact.open(request, self.ports.monotonic(), self.ports.clock())
        message = f"the contact window is open for {request.seconds:g} s and {size(request.bytes)}"
        self.ports.event(
            "CONTACT_OPENED",
            message,
            bytes=request.bytes,
            seconds=request.seconds,
            key_id=context.key_id,
        )
        return Completed()

    def _close_contact(self, _: CloseContact, _context: TelecommandContext) -> Outcome:
        self.contact.close()
        return Completed()


def _model_result(slots: SlotState) -> ModelResult:
    return ModelResult(active=slots.active, staged=slots.staged, previous=slots.previous)
