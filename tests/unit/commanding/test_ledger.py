from __future__ import annotations

from typing import Any

import pytest

from flightsw.commanding import ledger as ledger_file
from telecommands.dictionary import Stage, Verification
from tests.unit.commanding.desk import Desk, told


def _stage(id_: str, stage: Stage, **more: Any) -> Verification:
    return Verification(id=id_, name="PING", stage=stage, at=1, key_id="ground", **more)


def _add(desk: Desk, id_: str, *stages: Stage, durable: bool) -> None:
    desk.ledger.open(id_, "PING", "ground", 1, durable=durable)
    for stage in stages:
        desk.ledger.record(_stage(id_, stage))


@pytest.mark.parametrize("durable", [True, False])
def test_stages_are_known_in_their_order(desk: Desk, durable: bool) -> None:
    _add(desk, "a", Stage.ACCEPTED, Stage.STARTED, Stage.COMPLETED, durable=durable)
    assert told(desk.ledger.known("a")) == ["ACCEPTED", "STARTED", "COMPLETED"]
    latest = desk.ledger.latest("a")
    assert latest is not None
    assert latest.stage is Stage.COMPLETED
    assert desk.ledger.known("b") == ()
    assert desk.ledger.latest("b") is None


def test_durable_stages_survive_and_passing_ones_do_not(desk: Desk) -> None:
    _add(desk, "kept", Stage.ACCEPTED, durable=True)
    _add(desk, "passing", Stage.ACCEPTED, durable=False)
    desk.power_cut()
    assert told(desk.ledger.known("kept")) == ["ACCEPTED"]
    assert desk.ledger.known("passing") == ()


def test_progress_is_the_latest_only_and_never_written(desk: Desk) -> None:
    _add(desk, "a", Stage.ACCEPTED, Stage.STARTED, durable=True)
    rows = desk.rows("verifications")
    for step in range(100):
        desk.ledger.record(_stage("a", Stage.PROGRESS, step=step))
    assert told(desk.ledger.known("a")) == ["ACCEPTED", "STARTED", "PROGRESS"]
    assert desk.ledger.known("a")[-1].step == 99
    assert desk.rows("verifications") == rows
    desk.ledger.record(_stage("a", Stage.COMPLETED))
    assert told(desk.ledger.known("a")) == ["ACCEPTED", "STARTED", "COMPLETED"]


def test_work_that_starts_over_and_over_takes_no_more_room(desk: Desk) -> None:
    _add(desk, "a", Stage.ACCEPTED, *[Stage.STARTED] * 50, durable=True)
    assert told(desk.ledger.known("a")) == ["ACCEPTED", "STARTED"]


def test_an_opening_rolled_back_was_never_there(desk: Desk) -> None:
    def open_in_vain() -> None:
        with desk.state.transaction():
            _add(desk, "a", Stage.ACCEPTED, durable=True)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        open_in_vain()
    assert desk.ledger.known("a") == ()
    _add(desk, "a", Stage.REJECTED, durable=False)
    assert told(desk.ledger.known("a")) == ["REJECTED"]


def test_unclosed_is_the_latest_stage_of_what_goes_on(desk: Desk) -> None:
    _add(desk, "a", Stage.ACCEPTED, Stage.STARTED, durable=True)
    _add(desk, "b", Stage.ACCEPTED, Stage.FAILED, durable=True)
    _add(desk, "c", Stage.ACCEPTED, durable=True)
    _add(desk, "d", Stage.ACCEPTED, durable=False)
    desk.power_cut()
    assert [(one.id, one.stage) for one in desk.ledger.unclosed()] == [
        ("a", Stage.STARTED),
        ("c", Stage.ACCEPTED),
    ]


def test_pruning_forgets_the_oldest_closed_ones_only(desk: Desk) -> None:
    _add(desk, "open", Stage.ACCEPTED, durable=True)
    for number in range(20):
        _add(desk, f"t{number}", Stage.ACCEPTED, Stage.COMPLETED, durable=True)
    assert desk.ledger.prune(20) == 0
    assert desk.ledger.prune(5) == 15
    for _ in range(2):
        assert desk.ledger.known("t14") == ()
        assert told(desk.ledger.known("t15")) == ["ACCEPTED", "COMPLETED"]
        assert told(desk.ledger.known("open")) == ["ACCEPTED"]
        assert desk.rows("verifications") == 11
        desk.power_cut()


def test_passing_telecommands_take_a_bounded_amount_of_memory(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_file, "_PASSING_IDS", 10)
    for number in range(50):
        _add(desk, f"t{number}", Stage.REJECTED, durable=False)
        desk.ledger.known("t0")  # what is asked for again stays
    known = [number for number in range(50) if desk.ledger.known(f"t{number}")]
    assert known == [0, *range(41, 50)]
    monkeypatch.setattr(ledger_file, "_PASSING_BYTES", 2000)
    for number in range(50, 60):
        desk.ledger.open(f"t{number}", "PING", "", 1, durable=False)
        desk.ledger.record(_stage(f"t{number}", Stage.COMPLETED, cause="x" * 900))
    assert [number for number in range(60) if desk.ledger.known(f"t{number}")] == [58, 59]
