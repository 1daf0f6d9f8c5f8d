"""Runs over stub scenes with Dask's scheduler and workers in this process."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from deploy.archive.stubs import StubChain, open_stub, stub_scene
from flightsw.archive.answer import Answer
from flightsw.archive.cluster import Cluster, existing_cluster
from flightsw.archive.dask_worker import StationPlugin
from flightsw.archive.plan import empty_plan
from flightsw.archive.reprocess import RunTotals, reprocess
from flightsw.archive.run_order import RunOrder, encode_order
from flightsw.archive.submission import Submission
from flightsw.archive.work import Chain, OpenChain
from flightsw.errors import CorruptImage, DiskFull, LinkError, OutputNotWritable, UsageError
from tests.unit.flightsw.archive.conftest import CountingChain

distributed = pytest.importorskip("distributed", reason="needs the extra archive")


@contextmanager
def _workers(count: int, threads: int = 1, cards: int = 1) -> Iterator[Any]:
    with distributed.LocalCluster(
        n_workers=count,
        threads_per_worker=threads,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        resources={"card": cards},
    ) as cluster:
        yield cluster


@contextmanager
def _connected(count: int = 1) -> Iterator[Cluster]:
    with _workers(count) as cluster, existing_cluster(cluster.scheduler_address) as connected:
        yield connected


@dataclass
class _Shown:
    answers: list[Answer] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def done(self, answer: Answer) -> None:
        self.answers.append(answer)

    def warn(self, line: str) -> None:
        self.lines.append(line)


def _run(
    order: RunOrder, scenes: int, open_chain: OpenChain = open_stub, workers: int = 1
) -> tuple[RunTotals, _Shown]:
    shown = _Shown()
    with empty_plan() as plan:
        plan.add(map(stub_scene, range(scenes)))
        return (
            reprocess(plan, order, lambda: _connected(workers), shown, open_chain=open_chain),
            shown,
        )


def _open_corrupt(order: RunOrder, held: ExitStack) -> Chain:
    del order, held
    return CountingChain(CorruptImage("B02.jp2", "is damaged", "Fetch it again"))


def _open_full(order: RunOrder, held: ExitStack) -> Chain:
    del order, held
    return CountingChain(DiskFull("/out", "is full", "Free some space"))


def _open_one_full(order: RunOrder, held: ExitStack) -> Chain:
    """The disk of the first worker that opens its chain is full."""
    try:
        (order.out / "full").touch(exist_ok=False)
    except FileExistsError:
        return StubChain()
    return _open_full(order, held)


def test_a_second_run_computes_only_what_is_missing(order: RunOrder) -> None:
    first, _ = _run(order, 20)
    second, _ = _run(order, 25)
    assert (first.computed, first.recorded, first.failed) == (20, 0, 0)
    assert (second.computed, second.recorded, second.scenes) == (5, 20, 25)
    assert second.table is not None
    assert second.table.exists()


def test_failures_are_counted_and_named(order: RunOrder) -> None:
    totals, shown = _run(order, 3, _open_corrupt)
    assert (totals.failed, totals.lost) == (3, 0)
    assert {one.cause for one in totals.failures} == {"B02.jp2 is damaged"}
    assert len(shown.answers) == 3


def test_a_worker_whose_disk_is_full_gets_no_more_scenes(order: RunOrder) -> None:
    totals, shown = _run(order, 12, _open_one_full, workers=2)
    assert (totals.scenes, totals.failed) == (12, 0)
    (line,) = set(shown.lines)
    assert "/out is full; tcp://127.0.0.1" in line
    assert "gets no more scenes" in line


def test_workers_are_those_of_the_scheduler_and_not_of_the_clients_copy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client empties its copy every two seconds, when it renews the rest of it."""
    with _connected(2) as cluster:
        monkeypatch.setattr(cluster.client, "scheduler_info", lambda **_: {"workers": {}})
        assert len(cluster.workers()) == 2


def test_the_run_ends_with_the_error_of_the_last_worker(order: RunOrder) -> None:
    with pytest.raises(DiskFull, match=r"/out is full\. Free some space"):
        _run(order, 12, _open_full)


def test_a_run_that_another_driver_uses_is_refused(order: RunOrder) -> None:
    order.out.mkdir(parents=True)
    with (order.out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(OutputNotWritable, match="in use by another run"):
            _run(order, 1)


def test_a_folder_that_cannot_be_written_is_refused(order: RunOrder, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputNotWritable, match="file"):
        _run(replace(order, out=tmp_path / "file" / "run"), 1)


@pytest.mark.parametrize(
    ("workers", "cause"),
    [({"threads": 2}, "has 2 threads"), ({"cards": 3}, "offers 3 of the resource card")],
)
def test_a_worker_that_does_not_fit_is_refused_by_name(workers: dict[str, int], cause: str) -> None:
    with _workers(1, **workers) as cluster:
        address = next(iter(cluster.workers.values())).address
        with (
            pytest.raises(UsageError, match=f"worker {address} {cause}"),
            existing_cluster(cluster.scheduler_address),
        ):
            pass


def test_a_scheduler_that_is_away_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flightsw.archive.cluster._CONNECT_SECONDS", 0.2)
    with (
        pytest.raises(LinkError, match=r"the scheduler at tcp://127\.0\.0\.1:1 does not answer"),
        existing_cluster("tcp://127.0.0.1:1"),
    ):
        pass


def test_few_scenes_are_under_way_however_long_the_list(order: RunOrder) -> None:
    taken = 0

    def counted() -> Iterator[str]:
        nonlocal taken
        for number in range(100_000):
            taken = number
            yield stub_scene(number)

    with _connected() as cluster:
        cluster.client.register_plugin(StationPlugin(encode_order(order), open_stub))
        answers = Submission(cluster, lambda: None, print).answers(counted())
        for _ in range(3):
            next(answers)
        assert taken < 1000
        answers.close()
