"""What the service does for its state: restores are reported, copies kept, full disks outlasted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Final

import structlog

from flightsw.commanding.schedule import TelecommandSchedule
from flightsw.downlink.catalogue import ProductCatalogue
from flightsw.fdir.modes import ModeMachine, SafeReason
from flightsw.jobs.queue import JobQueue
from flightsw.products.partial_folder import remove_stale
from flightsw.state import StateFile, StateLoss
from flightsw.telemetry.reporting import ServicePorts
from telecommands.dictionary import Code, Stage
from telecommands.refusal import Refusal

_log: Final = structlog.get_logger(__name__)

_COPY_SECONDS: Final = 600.0
_IDS: Final = 50  # named in an event


@dataclass
class StateCare:
    """Used by the main thread; ``restart`` ends the service so that it is started again."""

    state: StateFile
    jobs: JobQueue
    catalogue: ProductCatalogue
    schedule: TelecommandSchedule
    modes: ModeMachine
    ports: ServicePorts
    restart: Callable[[], None]
    _copied_at: float = -inf
    _full_reported: bool = False

    def deal_with_loss(self) -> None:
        """At boot: report what a restoration found, and use nothing that may be an older version.

        All of it is one transaction, so that a crash leaves it to the next boot.
        """
        loss = self.state.loss
        if loss is None:
            return
        if loss.nothing:
            self.ports.event("STATE_RESTORED", f"{loss.found}; all was restored")
            self.state.accept_loss()
            return
        with self.state.transaction():
            jobs = self.jobs.distrust(loss.distrusted("jobs"), self.ports.clock())
            for job in jobs:
                cause = self.jobs.record(job.id).cause
                code, cure = Code.STATE_LOST, "Command it again if its products are missing"
                self.ports.report(job.telecommand, Stage.FAILED, code=code, cause=cause, cure=cure)
            held = self.catalogue.distrust(loss.distrusted("products"))
            entries = self.schedule.distrust(loss.distrusted("schedule"))
            self.state.accept_loss()
            self._report(loss, tuple(job.id for job in jobs), held, entries)

    def remove_remains(self, products: Path) -> None:
        """At boot: remove what attempts that were cut short left below ``products``.

        A job without products starts from nothing, if it runs at all.  What belongs to no job
        stays, as does that of jobs whose record is lost: their products may be whole.
        """
        for folder in products.iterdir() if products.is_dir() else ():
            remove_stale(folder)
            try:
                record = self.jobs.record(folder.name)
            except Refusal:  # of no job that is known
                continue
            if record.code is not Code.STATE_LOST and not self.catalogue.has_of(record.job):
                shutil.rmtree(folder, ignore_errors=True)

    def settle(self) -> None:
        """Bring a state that is in memory to the disk; SAFE until there is room for it."""
        if self.state.settle():
            return
        cause = "the state is in memory, because the disk has no room for it"
        if not self._full_reported:
            self._full_reported = True
            self.ports.event("DISK_FULL", cause)
        self.modes.unsafe(SafeReason.DISK_FULL, cause)

    def keep_copy(self, monotonic: float) -> None:
        """Every ten minutes: renew the last-good copy; restart if the state is damaged."""
        if monotonic >= self._copied_at + _COPY_SECONDS:
            self._copied_at = monotonic
            if not self.state.keep_copy():
                _log.warning("the last-good copy of the state is not renewed")
        if self.state.damage:
            self.ports.event("STATE_DAMAGED", f"the state file is damaged: {self.state.damage}")
            self.restart()

    def _report(
        self,
        loss: StateLoss,
        jobs: tuple[str, ...],
        held: tuple[str, ...],
        entries: tuple[str, ...],
    ) -> None:
        message = f"{loss.found}; not restored: {loss.as_text()}"
        self.ports.event(
            "STATE_LOST",
            message,
            transactions=loss.transactions,
            rows=loss.lost,
            older={table: ids[:_IDS] for table, ids in loss.older.items()},
            unsure=loss.unsure,
            jobs_failed=jobs[:_IDS],
            products_held=held[:_IDS],
            entries_removed=entries[:_IDS],
        )
        self.modes.unsafe(SafeReason.STATE_LOST, message)
