"""The composition of the gateway: its parts and its threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Final

import msgspec
from typing_extensions import Self

from telecommands.dictionary import Packet, Record, Verification
from telecommands.gateway.counts import CountFile
from telecommands.gateway.layout import LayoutError
from telecommands.gateway.packets import Report, report_of, space_packet, status_report
from telecommands.gateway.peers import Peers
from telecommands.gateway.report_hold import HOLD_S, ReportHold
from telecommands.gateway.requests import Rejection, Request, read_request, request_id
from telecommands.gateway.schedule_file import ScheduleFile
from telecommands.gateway.status import Fault, GatewayStatus, Tally
from telecommands.gateway.verification import Verifications
from telecommands.ground.commanding_link import CommandingLink
from telecommands.ground.errors import GroundError
from telecommands.ground.handshake import SILENT
from telecommands.ground.station import Station
from telecommands.ground.telemetry import TelemetryClient

APID: Final = 100
PORT: Final = 5710
STATUS_S: Final = 10.0
"""Period of the gateway's own status packet."""

MOST_REQUESTS: Final = 200
"""Telecommands that may wait to be sent."""

_TURN_S: Final = 0.05
_BATCH_S: Final = 0.05  # what arrives meanwhile is read, numbered and sent together
_MOST_BATCH: Final = 1000
_RECHECK_S: Final = 1.0
_JOIN_S: Final = 5.0
_QUIET_S: Final = 1.0  # at most one line a kind of fault in this time


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """``listen`` with port 0: any free port.  ``hazardous``: those telecommands are sent too.

    The request ids of scheduled telecommands are in a file beside ``counts``.
    """

    listen: tuple[str, int]
    apid: int
    counts: Path
    hazardous: bool = False
    hold_s: float = HOLD_S
    status_s: float = STATUS_S


class Gateway:
    """Owns all parts.  A context manager; ``run`` blocks until :meth:`stop`.

    The end of the context stops it too, and waits for a ``run`` of another thread.

    ``station`` is called whenever a link is opened, and may raise a
    :class:`~telecommands.ground.errors.GroundError`, after which the call is repeated.  ``log`` is
    called with one sentence about a fault, by several threads.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        station: Callable[[], Station],
        log: Callable[[str], None],
    ) -> None:
        self._settings, self._station, self._log = settings, station, log
        self._stop, self._ended = threading.Event(), threading.Event()
        self._ended.set()
        self._fault: BaseException | None = None
        self._lock = threading.RLock()
        self._tally = Tally()
        self._hold = ReportHold(settings.hold_s)
        self._logged: dict[Fault, float] = {}
        self._requests: Queue[Request] = Queue(MOST_REQUESTS)
        first = station()
        self._unit = first.keys.unit or first.endpoints.unit
        self._key_id = first.keys.telecommand.key_id if first.keys.telecommand else ""
        schedule = ScheduleFile(
            settings.counts.with_name(f"{settings.counts.name}.schedule"), self._unit
        )
        self._verifications = Verifications(self._unit, schedule.read(), schedule.write)
        self._link = CommandingLink(station)
        self._status_at = 0.0
        with ExitStack() as opened:
            self._counts = opened.enter_context(CountFile(settings.counts, settings.apid))
            self._peers = opened.enter_context(
                Peers(settings.listen, self._received, self._report_fault)
            )
            self._parts = opened.pop_all()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return self._peers.address

    def status(self) -> GatewayStatus:
        """The counters now."""
        with self._lock:
            return self._tally.status(len(self._peers), len(self._verifications))

    def run(self) -> None:
        """Serve until :meth:`stop`; raises the exception of a failed thread."""
        self._ended.clear()
        try:
            self._serve()
        finally:
            self._ended.set()
        if self._fault is not None:
            raise self._fault

    def _serve(self) -> None:
        runs = {
            "peers": self._peers.run,
            "telemetry": self._follow_telemetry,
            "commanding": self._command,
        }
        threads = [
            threading.Thread(target=self._run, args=(run,), name=f"gateway-{name}", daemon=True)
            for name, run in runs.items()
        ]
        for thread in threads:
            thread.start()
        while not self._stop.is_set():
            time.sleep(_TURN_S)  # a handler must not set what is waited for in the same thread
        for thread in threads:
            thread.join(_JOIN_S)

    def stop(self) -> None:
        """Stop; may be called by any thread or a signal handler."""
        self._stop.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._ended.wait(_JOIN_S)  # its threads use what is closed now
        self._parts.close()

    def _run(self, run: Callable[[threading.Event], None]) -> None:
        try:
            run(self._stop)
        except BaseException as fault:  # noqa: BLE001 - raised again by run()
            self._fault = fault
            self.stop()

    # What all threads use.

    def _send(self, reports: Iterable[Report]) -> None:
        """Number the reports and queue them; without a peer nothing is numbered."""
        with self._lock:
            if not len(self._peers):
                return
            counts, apid = self._counts.counts, self._settings.apid
            packets = [space_packet(report, apid, counts) for report in reports]
            self._counts.write()
            self._tally.sent += len(packets)
            self._peers.send(packets)

    def _answer_with(self, reports: Iterable[Report]) -> None:
        """Send what is to be reported of a telecommand when its time has come."""
        with self._lock:
            self._hold.add(list(reports))
        self._send_due()

    def _send_due(self) -> None:
        with self._lock:
            if due := self._hold.due(time.monotonic()):
                self._send(due)

    def _report_fault(self, fault: Fault, cause: str) -> None:
        """Count a fault, and log it unless one of its kind was logged just now."""
        now = time.monotonic()
        with self._lock:
            self._tally.faults[fault] += 1
            count, quiet_until = self._tally.faults[fault], self._logged.get(fault, 0.0)
            if now < quiet_until:
                return
            self._logged[fault] = now + _QUIET_S
        self._log(f"{fault} ({count}): {cause}")

    # The thread of the connections.

    def _received(self, raw: bytes) -> None:
        with self._lock:
            self._tally.telecommands += 1
            self._hold.received(raw, time.monotonic())
        try:
            request = read_request(raw, self._settings.apid, hazardous=self._settings.hazardous)
            self._requests.put_nowait(request)
        except Rejection as rejection:
            self._reject(request_id(raw), rejection)
        except Full:
            cause = f"{MOST_REQUESTS} telecommands are waiting to be sent"
            cure = "Check the link, and send it again"
            self._reject(request_id(raw), Rejection("QUEUE_FULL", cause, cure))

    def _reject(self, request: bytes, rejection: Rejection) -> None:
        self._report_fault(rejection.fault, rejection.cause)
        self._answer_with(self._verifications.rejected(request, rejection, time.time_ns()))

    # The telemetry thread.

    def _follow_telemetry(self, stop: threading.Event) -> None:
        refused = ""
        while not stop.is_set():
            try:
                station = self._station()
                with station.telemetry(monitored=True) as client:
                    self._follow(client, station, stop)
            except GroundError as error:
                if str(error) != refused:
                    refused = str(error)
                    self._log(refused)
                stop.wait(_RECHECK_S)
            with self._lock:
                self._tally.link_up = False

    def _follow(self, client: TelemetryClient, station: Station, stop: threading.Event) -> None:
        """Follow the link while endpoints and keys stay the same and it can be established."""
        lost_before, reported = self._tally.lost, None
        recheck_at = time.monotonic() + _RECHECK_S
        while not stop.wait(_BATCH_S):
            batch = islice(client.packets(0.0), _MOST_BATCH)
            self._send([report for one in batch for report in self._reports_of(*one)])
            finding, now = client.finding, time.monotonic()
            with self._lock:
                self._tally.link_up = finding is SILENT
                self._tally.lost = lost_before + client.lost.total()
            self._send_status(now)
            if finding not in (SILENT, None, reported):
                self._log(f"{station.endpoints.telemetry} {finding.predicate}. {finding.cure}")
            reported = finding
            if finding is not SILENT and now >= recheck_at:
                if self._station() != station or (finding is not None and finding.is_final):
                    return
                recheck_at = now + _RECHECK_S

    def _reports_of(self, topic: str, packet: Packet, record: Record) -> list[Report]:
        reports = []
        try:
            reports.append(report_of(topic, packet, record))
        except LayoutError as error:
            what = f"packet {packet.seq} of {topic}"
            self._report_fault("NOT_ENCODED", f"{what} was dropped: {error}")
        with self._lock:
            self._tally.telemetry += 1
            if isinstance(record, Verification):
                reports += self._verifications.published(record, self._key_id)
        return reports

    def _send_status(self, now: float) -> None:
        if now >= self._status_at:
            self._status_at = now + self._settings.status_s
            self._send([status_report(self.status(), self._unit, time.time_ns())])

    # The commanding thread.

    def _command(self, stop: threading.Event) -> None:
        with self._link:
            while not stop.is_set():
                try:
                    request = self._requests.get(timeout=_TURN_S)
                except Empty:
                    pass
                else:
                    self._forward(request)
                self._read_stages()
                self._give_up()
                self._send_due()

    def _forward(self, request: Request) -> None:
        args = request.args
        if request.entry_of:
            with self._lock:
                entry = self._verifications.entry_of(request.entry_of)
            if entry is None:
                cause = "this gateway has scheduled no telecommand with that request id"
                cure = "Send LIST_SCHEDULE, and UNSCHEDULE with the entry"
                self._reject(request.id, Rejection("BAD_ARGUMENTS", cause, cure))
                return
            args = {"entry": entry}
        try:
            telecommand = self._link.client().send(request.name, args)
        except GroundError as error:
            self._report_fault("NOT_SENT", error.sentence)
            now = time.time_ns()
            self._answer_with(self._verifications.failed(request, error.sentence, error.cure, now))
        else:
            with self._lock:
                self._verifications.open(telecommand, request, time.monotonic())

    def _read_stages(self) -> None:
        if not len(self._verifications):
            return
        try:
            for stage in self._link.arrivals(_TURN_S):
                self._answer(stage)
        except GroundError as error:
            with self._lock:
                lost = list(self._verifications.lost(error.sentence, error.cure, time.time_ns()))
            self._close(lost, error.sentence)

    def _answer(self, stage: Verification) -> None:
        reports = []
        try:
            with self._lock:
                for report in self._verifications.answered(stage, time.monotonic()):
                    reports.append(report)  # noqa: PERF402 - keeps those before an error
        except LayoutError as error:
            self._report_fault("NOT_ENCODED", f"an answer to {stage.name} was dropped: {error}")
        self._answer_with(reports)

    def _give_up(self) -> None:
        with self._lock:
            overdue = list(self._verifications.overdue(time.monotonic(), time.time_ns()))
        if overdue:
            self._close(overdue, "the service did not answer, or did not close it")

    def _close(self, ended: Iterable[tuple[str, list[Report]]], cause: str) -> None:
        for telecommand, reports in ended:
            self._report_fault("NOT_SENT", f"telecommand {telecommand} was given up: {cause}")
            self._link.forget(telecommand)
            self._answer_with(reports)
        if not len(self._verifications):
            self._link.renew()
