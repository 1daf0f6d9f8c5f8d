from __future__ import annotations

from typing import Any

import pytest

from flightsw.commanding import ledger as ledger_file
from telecommands.dictionary import Stage, Verification
from tests.unit.flightsw.commanding.harness import Harness, stage_texts


def _stage(id_: str, stage: Stage, **more: Any) -> Verification:
    return Verification(id=id_, name="PING", stage=stage, at=1, key_id="ground", **more)


def _add(harness: Harness, id_: str, *stages: Stage, durable: bool) -> None:
    harness.ledger.open(id_, "PING", "ground", 1, durable=durable)
    for stage in stages:
        harness.ledger.record(id_, _stage(id_, stage))


@pytest.mark.parametrize("durable", [True, False])
def test_stages_are_known_in_their_order(harness: Harness, durable: bool) -> None:
    _add(harness, "a", Stage.ACCEPTED, Stage.STARTED, Stage.COMPLETED, durable=durable)
    assert stage_texts(harness.ledger.known("a")) == ["ACCEPTED", "STARTED", "COMPLETED"]
    latest = harness.ledger.latest("a")
    assert latest is not None
    assert latest.stage is Stage.COMPLETED
    assert harness.ledger.known("b") == ()
    assert harness.ledger.latest("b") is None


def test_durable_stages_survive_and_passing_ones_do_not(harness: Harness) -> None:
    _add(harness, "kept", Stage.ACCEPTED, durable=True)
    _add(harness, "passing", Stage.ACCEPTED, durable=False)
    harness.power_cut()
    assert stage_texts(harness.ledger.known("kept")) == ["ACCEPTED"]
    assert harness.ledger.known("passing") == ()


def test_progress_is_the_latest_only_and_never_written(harness: Harness) -> None:
    _add(harness, "a", Stage.ACCEPTED, Stage.STARTED, durable=True)
    rows = harness.rows("verifications")
    for step in range(100):
        harness.ledger.record("a", _stage("a", Stage.PROGRESS, step=step))
    assert stage_texts(harness.ledger.known("a")) == ["ACCEPTED", "STARTED", "PROGRESS"]
    assert harness.ledger.known("a")[-1].step == 99
    assert harness.rows("verifications") == rows
    harness.ledger.record("a", _stage("a", Stage.COMPLETED))
    assert stage_texts(harness.ledger.known("a")) == ["ACCEPTED", "STARTED", "COMPLETED"]


def test_work_that_starts_over_and_over_takes_no_more_room(harness: Harness) -> None:
    _add(harness, "a", Stage.ACCEPTED, *[Stage.STARTED] * 50, durable=True)
    assert stage_texts(harness.ledger.known("a")) == ["ACCEPTED", "STARTED"]


def test_an_opening_rolled_back_was_never_there(harness: Harness) -> None:
    def fail_to_open() -> None:
        with harness.state.transaction():
            _add(harness, "a", Stage.ACCEPTED, durable=True)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_to_open()
    assert harness.ledger.known("a") == ()
    _add(harness, "a", Stage.REJECTED, durable=False)
    assert stage_texts(harness.ledger.known("a")) == ["REJECTED"]


def test_unclosed_is_the_latest_stage_of_what_continues(harness: Harness) -> None:
    _add(harness, "a", Stage.ACCEPTED, Stage.STARTED, durable=True)
    _add(harness, "b", Stage.ACCEPTED, Stage.FAILED, durable=True)
    _add(harness, "c", Stage.ACCEPTED, durable=True)
    _add(harness, "d", Stage.ACCEPTED, durable=False)
    harness.power_cut()
    assert [(reference, one.stage) for reference, one in harness.ledger.unclosed()] == [
        ("a", Stage.STARTED),
        ("c", Stage.ACCEPTED),
    ]


def test_pruning_forgets_the_oldest_closed_ones_only(harness: Harness) -> None:
    _add(harness, "open", Stage.ACCEPTED, durable=True)
    for number in range(20):
        _add(harness, f"t{number}", Stage.ACCEPTED, Stage.COMPLETED, durable=True)
    assert harness.ledger.prune(20) == 0
    assert harness.ledger.prune(5) == 15
    for _ in range(2):
        assert harness.ledger.known("t14") == ()
        assert stage_texts(harness.ledger.known("t15")) == ["ACCEPTED", "COMPLETED"]
        assert stage_texts(harness.ledger.known("open")) == ["ACCEPTED"]
        assert harness.rows("verifications") == 11
        harness.power_cut()


def test_passing_telecommands_take_a_bounded_amount_of_memory(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_file, "_VOLATILE_IDS", 10)
    for number in range(50):
        _add(harness, f"t{number}", Stage.REJECTED, durable=False)
        harness.ledger.known("t0")  # what is asked for again stays
    known = [number for number in range(50) if harness.ledger.known(f"t{number}")]
    assert known == [0, *range(41, 50)]
    monkeypatch.setattr(ledger_file, "_VOLATILE_BYTES", 2000)
    for number in range(50, 60):
        harness.ledger.open(f"t{number}", "PING", "", 1, durable=False)
        harness.ledger.record(f"t{number}", _stage(f"t{number}", Stage.COMPLETED, cause="x" * 900))
    assert [number for number in range(60) if harness.ledger.known(f"t{number}")] == [58, 59]
