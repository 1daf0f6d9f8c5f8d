"""The daemon: builds its parts, owns its threads, starts and stops them.

Threads: ``commanding``, ``telemetry`` and ``downlink`` own a socket each, ``processing`` the
engine; the main thread looks after health, housekeeping and the watchdog.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict
from math import inf
from pathlib import Path
from typing import Any, Final

import structlog
from msgspec.structs import replace

from flightsw import __version__
from flightsw.commanding.arming import ArmedTelecommands
from flightsw.commanding.dispatcher import Dispatcher
from flightsw.commanding.gate import Gate
from flightsw.commanding.ledger import VerificationLedger
from flightsw.commanding.link import TelecommandLink
from flightsw.commanding.parameters import ParameterStore
from flightsw.commanding.schedule import TelecommandSchedule
from flightsw.commanding.sent_at import SentAtWindow
from flightsw.config import Settings
from flightsw.downlink.catalogue import ProductCatalogue
from flightsw.downlink.contact import ContactWindow
from flightsw.downlink.link import DownlinkLink
from flightsw.downlink.taken import TakenBytes
from flightsw.downlink.transfer import Transfer
from flightsw.engines.fallback import EngineNotices
from flightsw.errors import EngineError, LinkError, StateUnavailable, UsageError
from flightsw.fdir.boots import CLEAN_SHUTDOWN, RESTART_COMMANDED, BootRecord
from flightsw.fdir.crash_report import CrashReport
from flightsw.fdir.lasting_safe import LastingSafe
from flightsw.fdir.modes import ModeMachine
from flightsw.fdir.notify import ServiceNotifier
from flightsw.fdir.watchdog import Heartbeats
from flightsw.host.clock import utc_ns
from flightsw.host.disk import remove_remains
from flightsw.host.real_time import allows_real_time
from flightsw.jobs.outcome import JobOutcomes, RetryAfter
from flightsw.jobs.queue import JobQueue
from flightsw.jobs.runner import JobRunner
from flightsw.jobs.suspects import CrashSuspects
from flightsw.jobs.worker import ActiveChain, Processing
from flightsw.keys import KeyFolder
from flightsw.model.slots import ModelSlots
from flightsw.model.uplink import ModelUplink
from flightsw.pipeline.governor import Governor
from flightsw.scene.confined import ConfinedReaders, missing_confinement
from flightsw.service.handlers import RESTART_STATUS, Handlers
from flightsw.service.health import Health, HealthSources
from flightsw.service.key_watch import KeyWatch
from flightsw.service.recovery import Recovery
from flightsw.service.sockets import FlightSockets, open_sockets, write_endpoints
from flightsw.service.state_care import StateCare
from flightsw.state import StateFile
from flightsw.telemetry.events import EventReporter
from flightsw.telemetry.link import TelemetryLink, published
from flightsw.telemetry.packets import PacketStream
from flightsw.telemetry.reporting import ServicePorts
from flightsw.telemetry.sensors import Sensors
from telecommands.dictionary import EventName, Mode, ProductRecord, Stage, Value

_CHECK_SECONDS: Final = 1.0
_LONGEST_WAIT: Final = 0.25
_LINK_SECONDS: Final = 10.0  # within which a link's thread must answer
_START_SECONDS: Final = 60.0  # more, as long as every thread answers
_OPENING_SECONDS: Final = 900.0  # TensorRT builds an engine in minutes, once
_LINK_STOP_SECONDS: Final = 1.0
_FAULT_STATUS: Final = 70
"""Exit status after a fault of a thread: EX_SOFTWARE, after which systemd starts the service."""
_REFUSED_SECONDS: Final = 10.0  # between two events about the connections of a client to a link
_MACHINE_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class FlightService:
    """One run of the service; :meth:`run` returns its exit status.

    Raises, when built: :class:`~flightsw.errors.StateError` and
    :class:`~flightsw.errors.LinkError`, each with its cure; nothing is left open then.
    """

    def __init__(self, settings: Settings, notifier: ServiceNotifier) -> None:
        self._settings = settings.service
        self._notifier = notifier
        self._log = structlog.get_logger("flightsw.service")
        self._started = time.monotonic()
        self._ending = threading.Event()
        self._signalled = False
        self._exit_status = 0
        self._ended_by = ""  # the key that commanded it
        self._faulty = False
        self._endpoints_written = False
        self._processing_ended = True
        self._stalled: frozenset[str] = frozenset()
        with ExitStack() as opened:
            self._build(settings, opened)
            self._opened = opened.pop_all()

    # --- Building ----------------------------------------------------------------------------

    def _build(self, settings: Settings, opened: ExitStack) -> None:
        service = self._settings
        keys = KeyFolder(service.keys_folder, service.state_dir)
        self._unit = keys.unit(service.unit)
        settings = replace(settings, service=replace(service, unit=self._unit))
        self._state = opened.enter_context(StateFile(service.state_dir))
        remove_remains(service.state_dir)  # the state file's lock makes the folder ours
        self._keys = KeyWatch(keys, self._report_refused_keys, self._renew_links, utc_ns)
        sockets = opened.enter_context(open_sockets(service, self._unit, keys, self._keys.lets_in))
        crash_report = CrashReport(service.state_dir)
        opened.callback(crash_report.close)
        crash = crash_report.last
        self._boots = BootRecord(self._state)
        machine_boot = _machine_boot()
        self._boot = self._boots.begin(
            utc_ns(),
            machine_boot,
            crashed=bool(crash.signal),
            same_job=CrashSuspects(self._state).same_again(),
        )
        self._contact = ContactWindow(self._state, machine_boot)
        self._heartbeats = Heartbeats()
        self._authenticating = sockets.authenticating
        self._build_telemetry(sockets)
        self._readers = self._confined_readers(settings, opened)
        self._build_processing(settings)
        self._build_commanding(sockets)
        self._build_downlink(sockets)
        self._build_health()
        self._care = StateCare(
            self._state,
            self._jobs,
            self._catalogue,
            self._schedule,
            self._modes,
            self._ports,
            restart=lambda: self.end(RESTART_STATUS),
        )
        self._recovery = Recovery(
            boot=self._boot,
            crash=crash,
            care=self._care,
            jobs=self._jobs,
            outcomes=self._outcomes,
            dispatcher=self._dispatcher,
            contact=self._contact,
            modes=self._modes,
            safe=self._safe,
            ports=self._ports,
            attempts=lambda: int(self._parameters.number("processing.attempts")),
            products=service.state_dir / "products",
        )
        self._endpoints = sockets.endpoints
        self._log.info(
            "listening",
            unit=self._unit,
            boot=self._boot.number,
            state=str(service.state_dir),
            endpoints=asdict(sockets.endpoints),
            sent_at_checked=self._sent_at.checked,
            keys_writable=os.access(service.keys_folder, os.W_OK),
        )
        if not allows_real_time(settings.dimc.thread_priority):
            cure = "Allow dimc.thread_priority (LimitRTPRIO of the unit), or set it to 0"
            self._log.warning("the D-IMC thread has no real-time priority", cure=cure)

    def _confined_readers(self, settings: Settings, opened: ExitStack) -> ConfinedReaders | None:
        """What reads scenes: other processes, unless the settings want this one."""
        self._unconfined: tuple[str, ...] = ("service.confined_decoders is false",)
        if not settings.service.confined_decoders:
            return None
        if settings.pipeline.decoder == "gpu":
            cause = "is gpu, but confined decoders have no access to the GPU"
            cure = "Set it to auto, or service.confined_decoders to false"
            raise UsageError("pipeline.decoder", cause, cure)
        self._unconfined = missing_confinement()
        return opened.enter_context(closing(ConfinedReaders()))

    def _build_telemetry(self, sockets: FlightSockets) -> None:
        self._telemetry = TelemetryLink(
            sockets.telemetry.socket,
            PacketStream(self._unit, self._boot.number),
            self._beat("telemetry"),
            utc_ns,
            self._report_drops,
            rebind=sockets.telemetry.rebind,
            too_many=self._refuses_connections("telemetry"),
        )
        self._events = EventReporter(
            lambda event: self._telemetry.publish("evt", event),
            self._log,
            time.monotonic,
            self._state.after_commit,
        )
        self._parameters = ParameterStore(self._state, self._report_parameter)
        self._modes = ModeMachine(self._follow_mode)
        self._safe = LastingSafe(self._state, self._modes)

    def _build_processing(self, settings: Settings) -> None:
        state_dir = self._settings.state_dir
        self._jobs = JobQueue(
            self._state,
            self._unit,
            lambda: int(self._parameters.number("processing.waiting_jobs")),
        )
        self._catalogue = ProductCatalogue(self._state)
        self._slots = ModelSlots(
            state_dir / "models",
            self._settings.inbox,
            self._state,
            shipped=settings.model,
            release_keys=self._settings.trusted_releases,
        )
        self._uplink = ModelUplink(
            self._settings.inbox,
            lambda: int(self._parameters.number("uplink.quota_bytes")),
            lambda: int(self._parameters.number("storage.reserve_bytes")),
        )
        self._sensors = Sensors(state_dir)
        self._transfer = Transfer(
            self._unit,
            self._catalogue,
            self._contact,
            TakenBytes(self._state, time.monotonic),
            lambda: int(self._parameters.number("downlink.chunk_bytes")),
            self._report_delivered,
            self._report_lost,
            utc_ns,
            time.monotonic,
        )
        self._cool = threading.Event()
        self._cool.set()
        self._retry = RetryAfter()
        self._ports = ServicePorts(
            self._report,
            self._events.report,
            self._beat("processing"),
            utc_ns,
            time.monotonic,
        )
        self._governor = Governor(
            settings.pipeline.power_budget_w,
            idle=lambda: self._processing.chain.readings,
            watts=self._sensors.card_power,
            alive=self._ports.heartbeat,
        )
        self._ledger = VerificationLedger(self._state)
        self._outcomes = JobOutcomes(
            state=self._state,
            jobs=self._jobs,
            catalogue=self._catalogue,
            parameters=self._parameters,
            modes=self._modes,
            ports=self._ports,
            free_bytes=self._free_bytes,
            retry=self._retry,
            unclosed=self._ledger.unclosed,
        )
        runner = JobRunner(
            outcomes=self._outcomes,
            jobs=self._jobs,
            catalogue=self._catalogue,
            parameters=self._parameters,
            scene_root=self._settings.scene_root,
            products=state_dir / "products",
            ports=self._ports,
            publish=self._telemetry.publish,
            free_bytes=self._free_bytes,
            under_transfer=self._transfer.under_transfer,
            cool=self._cool,
            pauses=self._governor.pauses,
        )
        self._processing = Processing(
            ActiveChain(
                settings,
                self._slots.active,
                self._engine_notices(),
                self._readers,
                self._governor,
            ),
            self._jobs,
            runner,
            self._modes,
            self._ports,
        )
        self._processing_seconds = settings.pipeline.stall_seconds + 60
        self._faults = settings.dimc.faults

    def _build_commanding(self, sockets: FlightSockets) -> None:
        handlers = Handlers(
            jobs=self._jobs,
            catalogue=self._catalogue,
            contact=self._contact,
            parameters=self._parameters,
            modes=self._modes,
            slots=self._slots,
            uplink=self._uplink,
            processing=self._processing,
            scene_root=self._settings.scene_root,
            ports=self._ports,
            resend=self._telemetry.resend,
            rotate=self._keys.rotate,
            end=self.end,
            started=self._started,
        )
        self._schedule = TelecommandSchedule(self._state)
        self._sent_at = SentAtWindow(
            lambda: self._parameters.number("commanding.sent_at_window_s"),
            self._settings.clock_file.exists,
        )
        self._dispatcher = Dispatcher(
            Gate(
                self._state,
                self._unit,
                lambda: self._keys.telecommand_keys,
                self._keys.may,
                lambda: self._parameters.number("commanding.rate_per_second"),
            ),
            self._ledger,
            self._schedule,
            handlers.table(),
            armed=ArmedTelecommands(lambda: self._parameters.number("commanding.arm_s")),
            sent_at=self._sent_at,
            mode=lambda: self._modes.mode,
            publish=lambda stage: self._telemetry.publish("ver", published(stage)),
            clock=utc_ns,
            monotonic=time.monotonic,
            state=self._state,
            event=self._events.report,
        )
        self._due_since_boot = True
        self._commanding = TelecommandLink(
            sockets.telecommand.socket,
            self._dispatcher,
            self._beat("commanding"),
            self._tick_commanding,
            sockets.telecommand.rebind,
            self._refuses_connections("telecommand"),
        )

    def _build_downlink(self, sockets: FlightSockets) -> None:
        self._downlink = DownlinkLink(
            sockets.downlink.socket,
            self._transfer,
            self._beat("downlink"),
            self._report_fault,
            self._keys.receiver if self._settings.curve else lambda _: "",
            sockets.downlink.rebind,
            self._refuses_connections("downlink"),
        )

    def _build_health(self) -> None:
        sources = HealthSources(
            boot=self._boot,
            started=self._started,
            jobs=self._jobs,
            catalogue=self._catalogue,
            contact=self._contact,
            parameters=self._parameters,
            slots=self._slots,
            processing=self._processing,
            governor=self._governor,
            heartbeats=self._heartbeats,
            sensors=self._sensors,
            telecommands=self._dispatcher.counts,
            sent_at=self._sent_at,
            scheduled=self._schedule.count,
            packets_dropped=lambda: self._telemetry.dropped,
            events_squelched=lambda: self._events.squelched,
            state_on_disk=lambda: not self._state.volatile,
        )
        self._health = Health(
            sources,
            self._modes,
            self._events.report,
            time.time_ns,  # not held back at the last time of the interface: it watches for jumps
            time.monotonic,
            self._cool,
        )

    # --- Running: the main thread -------------------------------------------------------------

    def run(self) -> int:
        """Serve until :meth:`end`; the exit status."""
        with self._opened:
            try:
                self._offer_endpoints()
                self._report_conditions()
                self._recovery.run()
                self._start()
                while not (self._ending.is_set() or self._signalled):
                    self._look_after()
            except Exception as fault:  # noqa: BLE001 - the service ends, and says why
                self._log.critical("the main thread failed", exc_info=fault)
                self._end_by_fault("main", repr(fault))
            self._stop()
        return self._exit_status

    def end(self, exit_status: int, by: str = "") -> None:
        """Shut down cleanly, at the command of a key; may be called by any thread."""
        self._exit_status = exit_status
        self._ended_by = by
        self._ending.set()

    def end_by_signal(self) -> None:
        """Shut down cleanly; for a signal's handler, which must not touch a lock."""
        self._signalled = True

    @property
    def processing_ended(self) -> bool:
        """Whether the processing thread ended; if not, the interpreter would wait for a decoder."""
        return self._processing_ended

    def _engine_notices(self) -> EngineNotices:
        def reporter(event: EventName) -> Callable[[EngineError], None]:
            return lambda error: self._events.report(event, error.sentence, code=error.code)

        return EngineNotices(
            reporter("ENGINE_CHANGED"),
            reporter("ENGINE_RECONNECTED"),
            self._while_opening,
            reporter("ANSWER_CORRECTED"),
        )

    @contextmanager
    def _while_opening(self) -> Iterator[None]:
        """The watchdog allows the processing thread more time."""
        self._heartbeats.expect("processing", _OPENING_SECONDS, time.monotonic())
        try:
            yield
        finally:
            self._heartbeats.expect("processing", self._processing_seconds, time.monotonic())

    def _report_conditions(self) -> None:
        """What is not as on a flight unit."""
        if self._faults is not None:
            message = f"faults of the card are injected, seed {self._faults.seed}"
            self._events.report("FAULTS_INJECTED", message)
        for why in self._unconfined:
            self._events.report("DECODERS_UNCONFINED", why)

    def _start(self) -> None:
        now = time.monotonic()
        for name in ("commanding", "telemetry", "downlink"):
            self._heartbeats.expect(name, _LINK_SECONDS, now)
        self._heartbeats.expect("processing", self._processing_seconds, now)
        self._telemetry.start()
        self._commanding.start()
        self._downlink.start()
        self._processing.start()
        self._announced = False
        self._check_at, self._packet_sent = now, -inf

    def _look_after(self) -> None:
        if self._lost_a_thread():
            return
        now = time.monotonic()
        if not self._announced and self._processing.started.is_set():
            self._announce()
        if now >= self._check_at:
            self._check_at = now + self._notifier.feed_every(_CHECK_SECONDS)
            self._check()
        period = self._parameters.number("housekeeping.period_s")  # it may have changed meanwhile
        if now >= self._packet_sent + period:
            self._packet_sent = now  # also when the loop was late: one packet, not a burst
            with suppress(StateUnavailable):  # the next packet makes up for it
                self._telemetry.publish("hk", self._health.packet())
        until = min(self._check_at, self._packet_sent + period, now + _LONGEST_WAIT)
        self._ending.wait(max(0.0, until - time.monotonic()))

    def _check(self) -> None:
        self._care.settle()
        self._care.keep_copy(time.monotonic())
        self._offer_endpoints()
        with suppress(StateUnavailable):  # reported by the part that changes the state
            self._health.check()
            self._processing.tick()
            self._dispatcher.flush()
            self._safe.keep()
            self._contact.keep(time.monotonic())
            counts = self._jobs.counts()
            self._notifier.status(
                f"{self._modes.mode.value}: {counts.running} job running, {counts.queued} waiting"
            )
        self._keys.poll()
        self._feed_watchdog()

    def _lost_a_thread(self) -> bool:
        """Whether a thread ended, and the service with it: every mode would be untrue."""
        for name, ended_by in (
            ("commanding", self._commanding.ended_by),
            ("telemetry", self._telemetry.ended_by),
            ("downlink", self._downlink.ended_by),
            ("processing", self._processing.ended_by),
            ("authentication", None if self._authenticating() else "an unknown cause"),
        ):
            if ended_by is not None:
                self._end_by_fault(name, ended_by)
        return self._faulty

    def _end_by_fault(self, thread: str, cause: str) -> None:
        self._faulty = True
        message = f"the service ends because its {thread} thread was ended by {cause}"
        self._events.report("THREAD_ENDED", message, thread=thread)
        self.end(_FAULT_STATUS)

    def _offer_endpoints(self) -> None:
        """Write the file of endpoints; on a full disk that has to wait."""
        if not self._endpoints_written:
            with suppress(OSError):
                write_endpoints(self._settings.state_dir, self._endpoints)
                self._endpoints_written = True

    def _announce(self) -> None:
        self._announced = True
        message = (
            f"flightsw {__version__} is ready: boot {self._boot.number}, {self._boot.reset_cause}"
        )
        self._events.report("SERVICE_STARTED", message, mode=self._modes.mode.value)
        self._notifier.ready()

    def _feed_watchdog(self) -> None:
        stalled = frozenset(self._heartbeats.stalled(time.monotonic()))
        for name in stalled - self._stalled:
            self._events.report("THREAD_STALLED", f"thread {name} stopped responding", thread=name)
        self._stalled = stalled
        if not stalled:
            self._notifier.watchdog()
            if not self._announced:
                self._notifier.extend_timeout(_START_SECONDS)

    def _stop(self) -> None:
        """In order: accept nothing new, requeue the running job, send the last reports, end."""
        self._notifier.stopping()
        if not self._faulty:
            message = "the service is shutting down cleanly"
            message += f", as {self._ended_by} commanded" if self._ended_by else ""
            self._events.report("SERVICE_STOPPING", message, key_id=self._ended_by)
        self._commanding.stop(_LINK_STOP_SECONDS)
        self._downlink.stop(_LINK_STOP_SECONDS)
        self._retry.stopping.set()
        self._cool.set()
        self._processing_ended = self._processing.stop()
        reason = RESTART_COMMANDED if self._exit_status == RESTART_STATUS else CLEAN_SHUTDOWN
        with suppress(StateUnavailable):  # then the next boot counts an unclean end
            self._dispatcher.flush()
            self._safe.keep()
            self._contact.keep(time.monotonic())
            # However late the processing thread is: its work is left as after any restart.
            if not self._faulty:  # else the next boot counts an unclean end
                self._boots.end_clean(utc_ns(), reason)
        self._state.keep_copy()
        self._telemetry.stop(_LINK_STOP_SECONDS)

    # --- Called by other threads -------------------------------------------------------------

    def _tick_commanding(self) -> None:
        if not self._processing.started.is_set():
            return  # in BOOT nothing of the schedule runs
        self._dispatcher.run_due(utc_ns(), at_boot=self._due_since_boot)
        self._due_since_boot = False

    def _report(self, telecommand: str, stage: Stage, /, **fields: Any) -> None:
        try:
            self._dispatcher.report(telecommand, stage, **fields)
        except KeyError:  # lost with a part of the state, which was reported then
            self._log.warning("a telecommand has no record", id=telecommand, stage=stage.value)

    def _follow_mode(self, before: Mode, after: Mode, why: str) -> None:
        self._events.report_now("MODE_CHANGED", f"{before.value} to {after.value}: {why}")
        if after is not Mode.OPERATIONAL:
            self._processing.interrupt(f"the mode is {after.value}")
        self._processing.wake()

    def _report_parameter(self, name: str, value: Value, by: str) -> None:
        self._retry.until = 0.0  # there may be room for the next job now
        message = f"{name} is {value}"
        self._events.report("PARAMETER_CHANGED", message, name=name, value=value, key_id=by)

    def _renew_links(self) -> None:
        self._log.warning("a client was revoked: all links are being closed and reopened")
        for link in (self._telemetry, self._commanding, self._downlink):
            link.renew()

    def _report_refused_keys(self, error: LinkError) -> None:
        self._events.report("KEYS_REFUSED", str(error))

    def _refuses_connections(self, link: str) -> Callable[[str], None]:
        reported: dict[str, float] = {}  # monotonic; by client, of the link's thread

        def report(public: str) -> None:
            client = self._keys.client_of(public.encode()) if public else None
            name, now = client.name if client else "", time.monotonic()
            if now < reported.get(name, -inf) + _REFUSED_SECONDS:
                return
            reported[name] = now
            message = f"{name or 'an unknown client'} has too many connections to the {link} link"
            self._events.report("CONNECTIONS_REFUSED", message, link=link, key_id=name)

        return report

    def _report_drops(self, dropped: int) -> None:
        self._events.report(
            "PACKETS_DROPPED",
            f"{dropped} packets were dropped: the send queue was full",
            packets=dropped,
        )

    def _report_delivered(self, product: ProductRecord, client: str) -> None:
        self._retry.until = 0.0  # there may be room for the next job now
        message = f"{product.product} is delivered"
        if client:
            message += f": {client} confirmed it"
        self._events.report("PRODUCT_DELIVERED", message, product=product.product, key_id=client)

    def _report_lost(self, product: ProductRecord, cause: str) -> None:
        message = f"{product.product} is lost: {cause}"
        self._events.report("PRODUCT_LOST", message, product=product.product)

    def _report_fault(self, fault: Exception) -> None:
        self._log.error("downlink failed", exc_info=fault)
        self._events.report("INTERNAL_FAULT", f"the downlink failed: {fault}")

    def _free_bytes(self) -> int:
        return shutil.disk_usage(self._settings.state_dir).free

    def _beat(self, name: str) -> Callable[[], None]:
        return lambda: self._heartbeats.beat(name, time.monotonic())


def _machine_boot() -> str:
    with suppress(OSError):
        return _MACHINE_BOOT.read_text().strip()
    return ""
