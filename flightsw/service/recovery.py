"""At start, before any thread: what the previous run left open is closed, and reported."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from flightsw.commanding.dispatcher import Dispatcher
from flightsw.downlink.contact import ContactWindow
from flightsw.errors import StateUnavailable
from flightsw.fdir.boots import UNCLEAN_PREFIX, Boot
from flightsw.fdir.crash_report import Crash
from flightsw.fdir.lasting_safe import LastingSafe
from flightsw.fdir.modes import ModeMachine, SafeReason
from flightsw.jobs.outcome import JobOutcomes
from flightsw.jobs.queue import JobQueue, JobRecovery
from flightsw.service.state_care import StateCare
from flightsw.telemetry.reporting import ServicePorts
from telecommands.dictionary import Code, Stage
from telecommands.units import size

_log: Final = structlog.get_logger("flightsw.service")


@dataclass(frozen=True)
class Recovery:
    """Used once, by the main thread.

    ``attempts`` gives the parameter of that name, ``products`` is the folder of all products.
    """

    boot: Boot
    crash: Crash
    care: StateCare
    jobs: JobQueue
    outcomes: JobOutcomes
    dispatcher: Dispatcher
    contact: ContactWindow
    modes: ModeMachine
    safe: LastingSafe
    ports: ServicePorts
    attempts: Callable[[], int]
    products: Path

    def run(self) -> None:
        """Lost state first, then jobs and telecommands, mode, contact window."""
        self.care.deal_with_loss()
        self._recover_jobs()
        self.dispatcher.close_orphans(self.jobs.is_open)
        self.care.remove_remains(self.products)
        self.safe.restore()
        self.care.settle()
        self._restore_contact()
        if self.boot.loop:
            self.ports.event(
                "BOOT_LOOP", "SAFE until SET_MODE, after three unclean boots within ten minutes"
            )
            self.modes.unsafe(SafeReason.BOOT_LOOP, "three unclean boots within ten minutes")
        with suppress(StateUnavailable):  # the next check makes up for it
            self.safe.keep()

    def _recover_jobs(self) -> None:
        recovered = self.jobs.recover(
            self.attempts(),
            self.ports.clock(),
            unclean=not self.boot.last_was_clean,
            crash=self.crash.signal,
        )
        if not self.boot.last_was_clean:
            self._report_unclean_end(recovered.suspects)
        self._report_jobs(recovered)

    def _report_unclean_end(self, suspects: tuple[str, ...]) -> None:
        why = self.boot.reset_cause.removeprefix(UNCLEAN_PREFIX)
        if self.crash.signal:
            why += f", {self.crash.signal}"
            _log.error("the previous run crashed", stacks=self.crash.stacks)
        message = f"the previous run did not shut down cleanly ({why})"
        if suspects:
            message += f"; jobs in progress: {', '.join(suspects)}"
        self.ports.event(
            "UNCLEAN_RESTART",
            message,
            boot=self.boot.number,
            signal=self.crash.signal,
            suspects=suspects,
        )

    def _report_jobs(self, recovered: JobRecovery) -> None:
        for job in recovered.requeued:
            alone = ", to run alone" if job.id in recovered.suspects else ""
            message = f"{job.id} was running when the service ended and was requeued{alone}"
            self.ports.event("JOB_REQUEUED", message, job=job.id)
        for job in recovered.failed:
            record = self.jobs.record(job.id)
            code, cause = record.code or Code.ATTEMPTS_EXHAUSTED, record.cause
            self.ports.report(job.telecommand, Stage.FAILED, code=code, cause=cause)
            message = f"{job.id} is FAILED: {cause}"
            self.ports.event("JOB_FAILED", message, job=job.id, code=code.value)
        for job in recovered.cancelled:
            cause = self.jobs.record(job.id).cause
            self.ports.report(job.telecommand, Stage.CANCELLED, code=Code.CANCELLED, cause=cause)
            self.outcomes.close_cancellations(job.id)

    def _restore_contact(self) -> None:
        contact = self.contact.restore(self.ports.monotonic(), self.ports.clock())
        if contact is None:
            return
        spent = self.contact.spent_bytes
        if contact.open:
            left, seconds = contact.bytes_left, contact.seconds_left
            message = f"the contact window continues: {size(left)} and {seconds:.0f} s are left"
            self.ports.event("CONTACT_OPENED", message, bytes=left, seconds=seconds)
        else:
            message = f"the contact window closed during the restart, after {size(spent)}"
            self.ports.event("CONTACT_CLOSED", message, bytes=spent)
