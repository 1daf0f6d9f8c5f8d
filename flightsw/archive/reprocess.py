"""A run over an archive: what is missing is computed, then everything is described."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import msgspec

from flightsw.archive.agreement import Agreement
from flightsw.archive.answer import Answer
from flightsw.archive.catalogue import require_parquet, write_catalogue, write_table
from flightsw.archive.cluster import Cluster
from flightsw.archive.comparison import ComparedScene, compare_runs
from flightsw.archive.dask_worker import StationPlugin
from flightsw.archive.outcome import Outcome
from flightsw.archive.page import write_page
from flightsw.archive.plan import Plan, RecordedScene
from flightsw.archive.run_order import RunOrder, encode_order
from flightsw.archive.submission import LOST, Submission
from flightsw.archive.work import OpenChain, open_real_chain
from flightsw.errors import OutputNotWritable
from flightsw.host.disk import disk_errors
from telecommands.whole_file import write_whole

_NO_SURFACES: Final[Mapping[str, str]] = {}

_RUN: Final = "run.json"
_LOCK: Final = ".lock"
_FAILURES_KEPT: Final = 1_000


class RunProgress(Protocol):
    """What is shown of a run."""

    def done(self, answer: Answer) -> None:
        """A scene has its outcome."""
        ...

    def warn(self, line: str) -> None:
        """Something that an operator should know."""
        ...


@dataclass
class RunTotals:
    """Counts of a run's scenes, and the first thousand that failed."""

    scenes: int = 0
    computed: int = 0
    recorded: int = 0
    failed: int = 0
    lost: int = 0
    failures: list[Outcome] = field(default_factory=list)
    same_scenes: list[tuple[str, str]] = field(default_factory=list)
    table: Path | None = None
    catalogue: Path | None = None
    comparison: Path | None = None

    def count(self, answer: Answer) -> None:
        """Add an answer."""
        self.scenes += 1
        self.recorded += answer.kind == "recorded"
        self.computed += answer.kind == "computed"
        outcome = answer.outcome
        if outcome.failed:
            self.failed += 1
            self.lost += outcome.code == LOST
            if len(self.failures) < _FAILURES_KEPT:
                self.failures.append(outcome)


def reprocess(
    plan: Plan,
    order: RunOrder,
    connect: Callable[[], AbstractContextManager[Cluster]],
    progress: RunProgress,
    check: Callable[[], None] = lambda: None,
    open_chain: OpenChain = open_real_chain,
    surfaces: Mapping[str, str] = _NO_SURFACES,
) -> RunTotals:
    """Compute the scenes of the plan that have no record yet, then write table and catalogue.

    ``surfaces`` are those of tiles, for the comparison.

    Raises :class:`~flightsw.errors.OutputNotWritable` if the run's folder cannot be made or another
    driver uses it, and what ``connect`` and
    :meth:`~flightsw.archive.submission.Submission.answers` raise; the records of the scenes so far
    are then complete.
    """
    require_parquet()
    totals = RunTotals()
    with _run_folder(order):
        with connect() as cluster:
            cluster.client.register_plugin(StationPlugin(encode_order(order), open_chain))
            submission = Submission(cluster, check, progress.warn)
            for scene, answer in submission.answers(plan.locations()):
                _note(plan, scene, answer)
                totals.count(answer)
                progress.done(answer)
        totals.same_scenes = plan.same_scenes()
        totals.table = write_table(order.out, plan)
        title = f"Cloud masks of model {order.model_id}, settings {order.digest}"
        totals.catalogue = write_catalogue(order.out, plan, title)
        if other := order.compared_with:
            totals.comparison = _compare(plan, order, totals.scenes, other, surfaces)
    return totals


def _note(plan: Plan, scene: str, answer: Answer) -> None:
    outcome = answer.outcome
    if not outcome.folder:
        plan.lose(scene, msgspec.json.encode(outcome))
        return
    recorded = RecordedScene(outcome.folder, outcome.tile, outcome.sensed_at, outcome.name)
    found = answer.agreement
    plan.record(scene, recorded, None if found is None else msgspec.json.encode(found))


def _compare(
    plan: Plan, order: RunOrder, scenes: int, other: Path, surfaces: Mapping[str, str]
) -> Path:
    compared = (
        ComparedScene(
            one.name, one.tile, one.sensed_at, one.key, msgspec.json.decode(found, type=Agreement)
        )
        for one, found in plan.agreements()
    )
    path = order.out / f"against_{other.name}.html"
    write_page(path, compare_runs(compared, surfaces), scenes, order.out, other)
    return path


@contextmanager
def _run_folder(order: RunOrder) -> Iterator[None]:
    """The run's folder, made if absent, locked against other drivers, with its order in it."""
    folder = order.out
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            cause = "is in use by another run with the same model and settings"
            raise OutputNotWritable(folder, cause, "Wait for it to finish") from error
        with disk_errors(folder):
            write_whole(folder / _RUN, msgspec.json.format(encode_order(order)) + b"\n")
        yield
    finally:
        os.close(lock)
