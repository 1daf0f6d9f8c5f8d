"""A state with a history, as a service leaves it: stopped cleanly, or killed."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from flightsw.commanding.context import reference_of
from flightsw.commanding.ledger import VerificationLedger
from flightsw.commanding.parameters import ParameterStore
from flightsw.commanding.schedule import TelecommandSchedule
from flightsw.downlink.catalogue import NewProduct, ProductCatalogue
from flightsw.fdir.boots import BootRecord
from flightsw.jobs.queue import JobQueue
from flightsw.state import StateFile
from flightsw.state.file import LOSS_FACT
from flightsw.state.schema import tables
from telecommands.dictionary import (
    JobState,
    ProcessScene,
    Schedule,
    Stage,
    TelecommandCall,
    Verification,
)

Contents: TypeAlias = dict[str, dict[str, tuple[Any, ...]]]
"""Rows by table and by what identifies them."""
Ending: TypeAlias = Literal["stopped", "killed", "killed without a copy"]

ENDINGS: Final[tuple[Ending, ...]] = ("stopped", "killed", "killed without a copy")
_NOON: Final = 1_800_000_000 * 10**9
_SECOND: Final = 10**9


@dataclass(frozen=True)
class History:
    """The files that a run left in ``folder``, and what they hold.

    ``before`` is a folder of the same files earlier; ``written`` has every row there ever was.
    """

    ending: Ending
    folder: Path
    before: Path
    contents: Contents
    written: dict[str, set[tuple[Any, ...]]]


def make_history(folder: Path, ending: Ending, seed: int) -> History:
    """Let a state live: jobs, products, telecommands, a schedule; then end as ``ending`` says."""
    live, left, before = folder / "live", folder / "left", folder / "before"
    written: dict[str, set[tuple[Any, ...]]] = {table.name: set() for table in tables()}
    life = _Life(live, random.Random(seed), written)
    for _ in range(40):
        life.go_on()
    if ending != "killed without a copy":
        assert life.state.keep_copy()
    shutil.copytree(live, before)
    for _ in range(20):
        life.go_on()
    contents = contents_of(life.state)
    if ending == "stopped":
        life.state.close()
    shutil.copytree(live, left)
    life.state.close()
    return History(ending, left, before, contents, written)


def contents_of(state: StateFile) -> Contents:
    """All rows, but for the note of a loss."""
    contents: Contents = {}
    with state.reading() as db:
        for table in tables():
            rows = db.execute(f"SELECT {table.listed} FROM {table.name}").fetchall()  # noqa: S608
            contents[table.name] = {
                f"{row[0]}/{row[1]}" if table.name == "verifications" else str(row[key]): row
                for key in (table.columns.index(table.key),)
                for row in rows
                if row[0] != LOSS_FACT
            }
    return contents


class _Life:
    """The rooms' work on a state, one step after the other."""

    def __init__(
        self, folder: Path, choice: random.Random, written: dict[str, set[tuple[Any, ...]]]
    ) -> None:
        self.state = StateFile(folder)
        with self.state.reading() as db:
            db.execute("PRAGMA synchronous = OFF")  # no power is cut here
        self._choice, self._written = choice, written
        self._jobs = JobQueue(self.state, "rig", lambda: 10_000)
        self._catalogue = ProductCatalogue(self.state)
        self._ledger = VerificationLedger(self.state)
        self._schedule = TelecommandSchedule(self.state)
        self._parameters = ParameterStore(self.state)
        self._now = _NOON
        self._step = 0

    def go_on(self) -> None:
        """One job from its telecommand to its products, and what else happens meanwhile."""
        self._step += 1
        self._now += 60 * _SECOND
        if self._step % 10 == 1:
            BootRecord(self.state).begin(self._now, "machine")
        self._accept()
        self._remember()
        if self._choice.random() < 0.8:
            self._carry_out()
        self._remember()
        if self._step % 3 == 0:
            inner = TelecommandCall(name="SELF_TEST", args={})
            schedule = Schedule(at=self._now + 10**12 * self._step, telecommand=inner)
            self._schedule.add(f"S{self._step:032x}", schedule, "operator", self._now)
        if self._step % 5 == 0:
            self._parameters.set("processing.waiting_jobs", 100 + self._step)
            self._schedule.take(self._schedule.entries()[0].entry)
        with self.state.transaction() as db:
            window = self._choice.randbytes(24)
            db.execute("INSERT OR REPLACE INTO sequence_windows VALUES ('operator', ?)", (window,))
        self._remember()

    def _accept(self) -> None:
        telecommand = reference_of("operator", f"{self._choice.getrandbits(128):032x}")
        request = ProcessScene(scene=f"S2A_{self._step}.SAFE", priority=self._choice.randrange(10))
        with self.state.transaction():
            self._ledger.open(telecommand, "PROCESS_SCENE", "operator", self._now, durable=True)
            self._jobs.add(telecommand, request, self._now)
            self._stage(telecommand, Stage.ACCEPTED)

    def _carry_out(self) -> None:
        job = self._jobs.next(self._now)
        assert job is not None
        self._remember()
        if self._choice.random() < 0.1:
            return  # it still runs
        products = [
            NewProduct(kind, Path(f"/products/{job.id}/{kind}"), 1000 + self._step, "ab" * 32, 0.25)
            for kind in ("geotiff", "report")
        ]
        with self.state.transaction():
            self._jobs.end(job.id, JobState.COMPLETED, self._now)
            added = self._catalogue.add(job.id, products, self._now)
            self._stage(job.telecommand, Stage.COMPLETED)
        self._remember()
        if self._choice.random() < 0.5:
            self._catalogue.delivered(added[0].product, added[0].sha256, self._now)

    def _stage(self, telecommand: str, stage: Stage) -> None:
        key_id, id_ = telecommand.split("/")
        self._ledger.record(
            telecommand,
            Verification(id=id_, name="PROCESS_SCENE", stage=stage, at=self._now, key_id=key_id),
        )

    def _remember(self) -> None:
        for name, rows in contents_of(self.state).items():
            self._written[name].update(rows.values())
