"""Work that hangs is abandoned; work that ends gives what it gives."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from flightsw.errors import JobCancelled
from flightsw.host import side_thread
from flightsw.host.side_thread import NoOutcome, SideThread

_PATIENCE = 60.0
_MOMENT = 0.01


@pytest.fixture
def disk() -> Iterator[threading.Event]:
    """A disk that answers once the event is set."""
    answers = threading.Event()
    yield answers
    answers.set()


def test_a_result_and_an_error_reach_the_caller_unchanged() -> None:
    assert SideThread("test", lambda: 7).outcome(_PATIENCE) == 7
    failing: SideThread[int] = SideThread("test", lambda: int("seven"))
    with pytest.raises(ValueError, match="seven"):
        failing.outcome(_PATIENCE)


def test_work_that_hangs_ends_with_its_deadline(disk: threading.Event) -> None:
    with pytest.raises(NoOutcome, match=r"did not end within 0\.01 s"):
        SideThread("test", disk.wait).outcome(_MOMENT)


def test_work_that_hangs_ends_for_the_reason_to_stop(disk: threading.Event) -> None:
    reason = JobCancelled("the job", "was cancelled by telecommand")
    with pytest.raises(JobCancelled):
        SideThread("test", disk.wait).outcome(_PATIENCE, lambda report: report(reason))


def test_a_result_that_comes_too_late_is_handed_over(disk: threading.Event) -> None:
    handed, arrived = [], threading.Event()

    def late(result: bool) -> None:
        handed.append(result)
        arrived.set()

    work = SideThread("test", disk.wait)
    with pytest.raises(NoOutcome):
        work.outcome(_MOMENT)
    work.abandon(late)
    disk.set()
    assert arrived.wait(_PATIENCE)
    assert handed == [True]


def test_threads_that_hang_are_bounded_and_room_returns_with_their_end(
    disk: threading.Event,
) -> None:
    hung = [SideThread("test", disk.wait) for _ in range(side_thread._MOST)]
    with pytest.raises(NoOutcome, match="earlier reads have not finished"):
        SideThread("test", lambda: 7)
    disk.set()
    for one in hung:
        assert one.outcome(_PATIENCE)
    assert SideThread("test", lambda: 7).outcome(_PATIENCE) == 7


def test_a_thread_that_cannot_start_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", full)
        for _ in range(side_thread._MOST):
            with pytest.raises(RuntimeError):
                SideThread("test", lambda: 7)
    assert SideThread("test", lambda: 7).outcome(_PATIENCE) == 7
