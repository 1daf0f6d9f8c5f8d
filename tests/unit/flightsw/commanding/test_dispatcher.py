from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.typing import EventDict

from flightsw.commanding.context import (
    Completed,
    Deferred,
    Outcome,
    TelecommandContext,
    reference_of,
)
from flightsw.errors import DiskFull, FlightError, StateUnavailable
from telecommands.auth import TelecommandKey, sign
from telecommands.dictionary import Code, Mode, Record, Role, Stage, Telecommand, TelecommandBody
from telecommands.refusal import Refusal
from tests.unit.flightsw.commanding.harness import KEY, NOON, UNIT, Harness, stage_texts

SAFE = {"mode": "SAFE"}
SCENE = {"scene": "a.SAFE"}


def _raises(error: Exception) -> Any:
    def handler(_telecommand: object, _order: TelecommandContext) -> Outcome:
        raise error

    return handler


def test_what_is_done_immediately_is_published_in_three_stages(
    harness: Harness,
) -> None:
    stages = harness.send("PING", id_="p")
    assert stage_texts(stages) == ["ACCEPTED", "STARTED", "COMPLETED"]
    assert stages[-1].data == {"t": NOON, "mode": "OPERATIONAL", "uptime_s": 1.0}
    assert {(one.id, one.name, one.key_id) for one in stages} == {("p", "PING", "ground")}
    assert harness.published == list(stages)


def test_read_only_telecommands_leave_the_disk_alone(harness: Harness) -> None:
    statements: list[str] = []
    with harness.state.reading() as db:
        db.set_trace_callback(statements.append)
        for _ in range(3):
            harness.send("PING")
        harness.send("PING", id_="t1")
        assert statements == []
        db.set_trace_callback(None)


def test_a_ping_is_answered_while_another_thread_holds_the_state_file(harness: Harness) -> None:
    answers: list[list[str]] = []
    with harness.state.transaction():
        thread = threading.Thread(target=lambda: answers.append(stage_texts(harness.send("PING"))))
        thread.start()
        thread.join(20)
        assert answers == [["ACCEPTED", "STARTED", "COMPLETED"]]


def test_accepted_work_its_window_and_its_verification_survive_a_power_cut(
    harness: Harness,
) -> None:
    frames = harness.frames("PROCESS_SCENE", SCENE, "job")
    stages = harness.dispatcher.receive(frames, 0)
    assert stage_texts(stages) == ["ACCEPTED"]
    assert stages[0].data == {"job": "J1"}
    harness.power_cut()
    assert harness.known("job") == stages
    assert harness.state.fact("job") == b"job"
    assert harness.dispatcher.receive(frames, 0) == stages  # known, though the number is used up
    other = sign(KEY, UNIT, 1, TelecommandBody(id="other", name="PING", sent_at=0))
    assert stage_texts(harness.dispatcher.receive(other, 0)) == ["REJECTED REPLAYED"]
    assert harness.ran == ["job"]


@pytest.mark.parametrize("name", ["PING", "SET_MODE"])
def test_a_repeated_id_answers_again_and_runs_nothing(harness: Harness, name: str) -> None:
    first = harness.send(name, SAFE if name == "SET_MODE" else {}, "same")
    assert harness.send("PROCESS_SCENE", SCENE, "same") == first
    assert harness.send("NOT_EVEN_A_NAME", {}, "same") == first
    assert harness.ran == ["same"]
    assert harness.dispatcher.counts().accepted == 1
    assert harness.published == list(first)


def test_the_same_id_of_another_key_is_another_telecommand(harness: Harness) -> None:
    first = harness.send("PROCESS_SCENE", SCENE, "same")
    other = TelecommandKey("other", bytes(32))
    harness.keys["other"] = (other,)
    frames = sign(other, UNIT, 1, TelecommandBody(id="same", name="PING", sent_at=0))
    answer = harness.dispatcher.receive(frames, 0)
    assert stage_texts(answer) == ["ACCEPTED", "STARTED", "COMPLETED"]
    assert {(one.name, one.key_id) for one in answer} == {("PING", "other")}
    assert harness.dispatcher.receive(frames, 0) == answer  # repeated frames, too
    assert harness.known("same") == first
    harness.report("same", Stage.COMPLETED)
    assert harness.dispatcher.receive(frames, 0) == answer
    assert stage_texts(harness.send("PROCESS_SCENE", SCENE, "same")) == ["ACCEPTED", "COMPLETED"]
    assert harness.ran == ["same", "same"]


def test_a_repeated_id_gets_the_stages_that_came_since(harness: Harness) -> None:
    harness.send("PROCESS_SCENE", SCENE, "job")
    harness.report("job", Stage.STARTED)
    harness.report("job", Stage.PROGRESS, step=1, of=9)
    harness.report("job", Stage.PROGRESS, step=2, of=9)
    stages = harness.send("PROCESS_SCENE", SCENE, "job")
    assert stage_texts(stages) == ["ACCEPTED", "STARTED", "PROGRESS"]
    assert stages[-1].step == 2


def test_a_handlers_refusal_rejects_and_undoes_what_it_wrote(harness: Harness) -> None:
    def full(_telecommand: object, _order: TelecommandContext) -> Outcome:
        harness.state.set_fact("half", b"done")
        raise Refusal(Code.QUEUE_FULL, "500 wait", "Wait", waiting=500)

    harness.handle({"PROCESS_SCENE": full})
    (stage,) = harness.send("PROCESS_SCENE", SCENE, "job")
    assert (stage.stage, stage.code, stage.cause) == (Stage.REJECTED, Code.QUEUE_FULL, "500 wait")
    assert stage.data == {"waiting": 500}
    assert harness.state.fact("half") is None


def test_a_rejected_telecommand_cannot_be_replayed_after_a_power_cut(harness: Harness) -> None:
    harness.mode = Mode.SAFE
    frames = harness.frames("PROCESS_SCENE", SCENE, "job")
    assert stage_texts(harness.dispatcher.receive(frames, 0)) == ["REJECTED NOT_IN_THIS_MODE"]
    harness.mode = Mode.OPERATIONAL
    harness.power_cut()
    assert stage_texts(harness.dispatcher.receive(frames, 0)) == ["REJECTED NOT_IN_THIS_MODE"]
    assert harness.ran == []


class SceneRecord(Record, frozen=True, kw_only=True):
    scene: str


class UnheardError(FlightError):
    code = "UNHEARD_OF"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DiskFull("/products", "no space left", "Free some"), "DISK_FULL"),
        (StateUnavailable("/state", "is full"), "STATE_UNAVAILABLE"),
        (UnheardError("it", "broke"), "INTERNAL"),
        (ZeroDivisionError("oops"), "INTERNAL"),
        (sqlite3.IntegrityError("UNIQUE constraint failed"), "INTERNAL"),
    ],
)
@pytest.mark.parametrize("name", ["PING", "SET_MODE"])
def test_whatever_a_handler_raises_closes_the_telecommand_as_failed(
    harness: Harness, name: str, error: Exception, code: str
) -> None:
    harness.handle({name: _raises(error)})
    args = SAFE if name == "SET_MODE" else {}
    stages = harness.send(name, args, "x")
    assert stage_texts(stages) == ["ACCEPTED", "STARTED", f"FAILED {code}"]
    assert "oops" not in stages[-1].cause
    assert harness.send(name, args, "x") == stages
    assert harness.ledger.unclosed() == []
    assert stage_texts(harness.send("LIST_SCHEDULE"))[-1] == "COMPLETED"


def test_a_fault_of_the_services_own_is_logged_and_an_event_and_a_refusal_is_not(
    harness: Harness, logs: list[EventDict]
) -> None:
    fault = ZeroDivisionError("oops")
    harness.handle({"PING": _raises(fault), "SET_MODE": _raises(Refusal(Code.NO_CONTACT, "none"))})
    harness.send("SET_MODE", SAFE)
    assert logs == []
    harness.send("PING", id_="x")
    (entry,) = logs
    assert (entry["id"], entry["exc_info"]) == ("x", fault)
    assert [name for name, _ in harness.events] == ["TELECOMMAND_REJECTED", "INTERNAL_FAULT"]


def test_an_answer_that_cannot_be_encoded_closes_the_telecommand_too(harness: Harness) -> None:
    def list_strange_names(_telecommand: object, _order: TelecommandContext) -> Outcome:
        return Completed(SceneRecord(scene="\udcff"))

    harness.handle({"PING": list_strange_names, "SET_MODE": list_strange_names})
    assert stage_texts(harness.send("PING"))[-1] == "FAILED INTERNAL"
    assert stage_texts(harness.send("SET_MODE", SAFE))[-1] == "FAILED INTERNAL"


def test_a_cause_of_any_length_and_any_characters_can_be_answered(harness: Harness) -> None:
    harness.handle({"SET_MODE": _raises(DiskFull("/a\udcff", "x" * 10_000))})
    stages = harness.send("SET_MODE", SAFE)
    assert len(stages[-1].cause) == 1000
    assert stages[-1].cause.startswith("/a? xxx")


def test_a_locked_state_file_fails_what_would_change_it_but_not_a_ping(harness: Harness) -> None:
    with harness.state.reading() as db:
        db.execute("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(harness.state.path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        failed = harness.send("SET_MODE", SAFE, "x")
        assert stage_texts(failed) == ["ACCEPTED", "STARTED", "FAILED STATE_UNAVAILABLE"]
        assert stage_texts(harness.send("PING"))[-1] == "COMPLETED"
        with pytest.raises(StateUnavailable):
            harness.dispatcher.flush()
        other.execute("ROLLBACK")
    finally:
        other.close()
    assert harness.send("SET_MODE", SAFE, "x") == failed
    assert stage_texts(harness.send("SET_MODE", SAFE))[-1] == "COMPLETED"
    harness.dispatcher.flush()


@pytest.mark.parametrize(
    ("mode", "cure"),
    [(Mode.BOOT, "Wait until the service is OPERATIONAL"), (Mode.SAFE, "SET_MODE")],
)
def test_a_rejection_in_a_restricted_mode_says_what_helps_in_that_mode(
    harness: Harness, mode: Mode, cure: str
) -> None:
    harness.mode = mode
    (rejected,) = harness.send("PROCESS_SCENE", SCENE)
    assert cure in rejected.cure


@pytest.mark.parametrize("mode", [Mode.BOOT, Mode.SAFE])
def test_restricted_modes_run_no_scene_but_every_diagnosis(harness: Harness, mode: Mode) -> None:
    harness.mode = mode
    assert stage_texts(harness.send("PROCESS_SCENE", SCENE)) == ["REJECTED NOT_IN_THIS_MODE"]
    assert stage_texts(harness.send("PING"))[-1] == "COMPLETED"
    assert stage_texts(harness.send("SET_MODE", {"mode": "STANDBY"}))[-1] == "COMPLETED"


@pytest.mark.parametrize(
    ("name", "args", "code"),
    [
        ("NO_SUCH", {}, "UNKNOWN_TELECOMMAND"),
        ("PING", {"extra": 1}, "BAD_ARGUMENTS"),
        ("SET_MODE", {"mode": "BOOT"}, "BAD_ARGUMENTS"),
        ("SHUT_DOWN", {}, "UNKNOWN_TELECOMMAND"),  # this harness has no handler for it
    ],
)
def test_what_cannot_be_carried_out_is_rejected_counted_and_reported(
    harness: Harness, name: str, args: dict[str, Any], code: str
) -> None:
    (stage,) = harness.send(name, args, "x")
    assert stage_texts((stage,)) == [f"REJECTED {code}"]
    assert stage.cause
    assert harness.dispatcher.counts().rejected_by_code == {code: 1}
    assert [name for name, _ in harness.events] == ["TELECOMMAND_REJECTED"]
    assert harness.send("PING", {}, "x") == (stage,)


def test_what_nobody_authorised_sent_is_answered_and_counted_but_never_published(
    harness: Harness,
) -> None:
    harness.send("PROCESS_SCENE", SCENE, "job")
    published = list(harness.published)
    forger = TelecommandKey(KEY.key_id, b"x" * 32)
    body = TelecommandBody(id="job", name="PING", sent_at=0)
    (stage,) = harness.dispatcher.receive(sign(forger, UNIT, 9, body), 0)
    assert (stage.id, stage.name, stage.code) == ("job", "PING", Code.BAD_MAC)
    (stage,) = harness.dispatcher.receive(sign(TelecommandKey("who", b"x" * 32), UNIT, 9, body), 0)
    assert stage.code is Code.UNKNOWN_KEY
    assert [name for name, _ in harness.events] == ["AUTHENTICATION_FAILED"] * 2
    assert harness.published == published
    assert stage_texts(harness.known("job")) == ["ACCEPTED"]
    counts = harness.dispatcher.counts()
    assert (counts.accepted, counts.rejected) == (1, 2)


def test_too_many_are_rejected_with_their_id_and_may_be_sent_again(harness: Harness) -> None:
    harness.rate = 1
    assert [stage_texts(harness.send("PING"))[-1] for _ in range(2)] == ["COMPLETED"] * 2
    frames = harness.frames("PING", {}, "late")
    (stage,) = harness.dispatcher.receive(frames, harness.monotonic)
    assert (stage.id, stage.code) == ("late", Code.RATE_LIMITED)
    assert stage_texts(harness.dispatcher.receive(frames, harness.monotonic + 1))[-1] == "COMPLETED"


@pytest.mark.parametrize("frames", [[], [b""], [b"", b""], [b"\xc1", b"\xc1"], [b"a"] * 3])
def test_garbage_is_answered_with_a_code(harness: Harness, frames: list[bytes]) -> None:
    (stage,) = harness.dispatcher.receive(frames, 0)
    assert (stage.stage, stage.code) == (Stage.REJECTED, Code.MALFORMED)


@pytest.mark.parametrize("end", [Stage.COMPLETED, Stage.FAILED, Stage.TIMED_OUT, Stage.CANCELLED])
def test_after_a_closing_stage_nothing_is_reported_any_more(harness: Harness, end: Stage) -> None:
    heard: list[Stage] = []
    harness.dispatcher.listen(lambda stage: heard.append(stage.stage))
    harness.send("PROCESS_SCENE", SCENE, "job")
    harness.report("job", Stage.STARTED)
    closing = harness.report("job", end, data={"x": 1})
    assert harness.report("job", Stage.PROGRESS) == closing
    assert harness.report("job", Stage.COMPLETED) == closing
    assert heard == [Stage.STARTED, end]
    assert [one.stage for one in harness.published] == [Stage.ACCEPTED, Stage.STARTED, end]
    harness.power_cut()
    assert stage_texts(harness.send("PING", {}, "job")) == ["ACCEPTED", "STARTED", end.value]


def test_a_report_belongs_to_the_callers_transaction(harness: Harness) -> None:
    harness.send("PROCESS_SCENE", SCENE, "job")

    def fail_to_end() -> None:
        with harness.state.transaction():
            harness.report("job", Stage.COMPLETED)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_to_end()
    assert stage_texts(harness.known("job")) == ["ACCEPTED"]
    assert stage_texts(harness.published) == ["ACCEPTED"]


def test_a_report_is_published_when_the_callers_transaction_is_on_the_disk(
    harness: Harness,
) -> None:
    harness.send("PROCESS_SCENE", SCENE, "job")
    with harness.state.transaction():
        harness.report("job", Stage.COMPLETED)
        assert stage_texts(harness.published) == ["ACCEPTED"]
    assert stage_texts(harness.published) == ["ACCEPTED", "COMPLETED"]


def test_nothing_can_be_reported_of_an_id_never_accepted(harness: Harness) -> None:
    with pytest.raises(KeyError):
        harness.report("nobody", Stage.STARTED)


def test_stages_reported_while_the_handler_still_runs_come_after_acceptance(
    harness: Harness,
) -> None:
    workers: list[threading.Thread] = []

    def begin(_telecommand: object, order: TelecommandContext) -> Outcome:
        started = threading.Event()

        def work() -> None:
            started.set()
            harness.report(order.id, Stage.STARTED)

        workers.append(threading.Thread(target=work))
        workers[0].start()
        assert started.wait(20)
        return Deferred()

    harness.handle({"PROCESS_SCENE": begin})
    harness.send("PROCESS_SCENE", SCENE, "job")
    workers[0].join(20)
    assert [one.stage for one in harness.published] == [Stage.ACCEPTED, Stage.STARTED]


def test_orphans_are_closed_at_boot_and_work_that_continues_is_not(harness: Harness) -> None:
    harness.send("PROCESS_SCENE", SCENE, "orphan")
    harness.send("PROCESS_SCENE", SCENE, "alive")
    harness.send("SET_MODE", SAFE, "done")
    harness.power_cut()
    harness.dispatcher.close_orphans(lambda one: one == reference_of(KEY.key_id, "alive"))
    assert stage_texts(harness.known("orphan")) == ["ACCEPTED", "FAILED INTERRUPTED"]
    assert stage_texts(harness.known("alive")) == ["ACCEPTED"]
    assert stage_texts(harness.known("done"))[-1] == "COMPLETED"


def _schedule(harness: Harness, name: str = "SET_MODE", seconds: int = 10, **more: Any) -> str:
    args = {"SET_MODE": SAFE, "PROCESS_SCENE": SCENE}.get(name, {})
    inner = {"name": name, "args": args}
    stages = harness.send("SCHEDULE", {"at": NOON + seconds * 10**9, "telecommand": inner, **more})
    assert stage_texts(stages) == ["ACCEPTED", "STARTED", "COMPLETED"]
    return str(stages[-1].data["entry"])


def test_a_scheduled_telecommand_runs_at_its_time_once_under_its_own_id(harness: Harness) -> None:
    entry = _schedule(harness)
    harness.power_cut()
    assert harness.dispatcher.run_due(NOON + 10 * 10**9 - 1, at_boot=False) == ()
    stages = harness.dispatcher.run_due(NOON + 10 * 10**9, at_boot=False)
    assert stage_texts(stages) == ["ACCEPTED", "STARTED", "COMPLETED"]
    assert {(one.id, one.name, one.key_id) for one in stages} == {(entry, "SET_MODE", "ground")}
    assert harness.published[-3:] == list(stages)
    harness.power_cut()
    assert harness.dispatcher.run_due(NOON + 11 * 10**9, at_boot=True) == ()
    assert harness.send("PING", {}, entry) == stages
    assert harness.ran == [entry]


def test_scheduled_work_that_takes_long_is_reported_under_the_entrys_id(harness: Harness) -> None:
    entry = _schedule(harness, "PROCESS_SCENE")
    assert stage_texts(harness.dispatcher.run_due(NOON + 10**11, at_boot=False)) == ["ACCEPTED"]
    harness.report(entry, Stage.COMPLETED)
    assert stage_texts(harness.known(entry)) == ["ACCEPTED", "COMPLETED"]


def test_what_was_missed_is_reported_or_run_as_it_was_asked(harness: Harness) -> None:
    missed = _schedule(harness)
    late = _schedule(harness, if_missed="run")
    future = _schedule(harness, seconds=3600)
    harness.power_cut()
    stages = harness.dispatcher.run_due(NOON + 60 * 10**9, at_boot=True)
    assert [(one.id, stage_texts((one,))[0]) for one in stages] == [
        (missed, "FAILED MISSED"),
        (late, "ACCEPTED"),
        (late, "STARTED"),
        (late, "COMPLETED"),
    ]
    assert harness.ran == [late]
    assert [name for name, _ in harness.events] == ["SCHEDULE_MISSED"]
    assert [one.entry for one in harness.schedule.entries()] == [future]
    harness.power_cut()
    assert harness.dispatcher.run_due(NOON + 61 * 10**9, at_boot=True) == ()
    assert stage_texts(harness.known(missed)) == ["FAILED MISSED"]


def test_what_a_revoked_key_scheduled_is_not_run(harness: Harness) -> None:
    entry = _schedule(harness, "PROCESS_SCENE")
    [waiting] = harness.schedule.entries()
    assert waiting.key_id == KEY.key_id
    harness.keys.clear()
    stages = harness.dispatcher.run_due(NOON + 10**11, at_boot=False)
    assert [(one.id, stage_texts((one,))[0]) for one in stages] == [(entry, "FAILED UNKNOWN_KEY")]
    assert "may no longer command" in stages[0].cause
    assert harness.ran == []
    assert harness.schedule.entries() == ()
    assert [name for name, _ in harness.events] == ["SCHEDULE_MISSED"]


def test_the_schedule_is_listed_page_by_page(harness: Harness) -> None:
    entries = [_schedule(harness) for _ in range(7)]
    pages = [
        harness.send("LIST_SCHEDULE", {"limit": 3, "skip": skip})[-1].data["entries"]
        for skip in (0, 3, 6, 9)
    ]
    assert [one["entry"] for page in pages for one in page] == entries
    assert [len(page) for page in pages] == [3, 3, 1, 0]


def test_all_that_was_missed_is_dealt_with_at_boot_however_much_it_is(harness: Harness) -> None:
    entries = [_schedule(harness) for _ in range(40)]
    stages = harness.dispatcher.run_due(NOON + 60 * 10**9, at_boot=True)
    assert [one.id for one in stages] == entries


def test_many_that_are_due_together_leave_room_for_other_telecommands(harness: Harness) -> None:
    entries = [_schedule(harness) for _ in range(40)]
    turns = [harness.dispatcher.run_due(NOON + 60 * 10**9, at_boot=False) for _ in range(4)]
    assert [one.id for turn in turns for one in turn[::3]] == entries
    assert len(turns[0][::3]) < len(entries)
    assert turns[-1] == ()


def test_a_scheduled_telecommand_obeys_the_mode_of_its_time(harness: Harness) -> None:
    _schedule(harness, "PROCESS_SCENE")
    harness.mode = Mode.SAFE
    stages = harness.dispatcher.run_due(NOON + 10**11, at_boot=False)
    assert stage_texts(stages) == ["REJECTED NOT_IN_THIS_MODE"]
    assert harness.schedule.count() == 0


def test_an_entry_stays_on_the_schedule_while_the_state_file_is_locked(harness: Harness) -> None:
    entry = _schedule(harness)
    with harness.state.reading() as db:
        db.execute("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(harness.state.path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateUnavailable):
            harness.dispatcher.run_due(NOON + 10**11, at_boot=False)
        other.execute("ROLLBACK")
    finally:
        other.close()
    assert harness.known(entry) == ()
    assert stage_texts(harness.dispatcher.run_due(NOON + 10**11, at_boot=False))[-1] == "COMPLETED"
    assert harness.ran == [entry]


def test_a_failing_scheduled_telecommand_closes_and_leaves_the_schedule(harness: Harness) -> None:
    _schedule(harness)
    harness.handle({"SET_MODE": _raises(ZeroDivisionError())})
    stages = harness.dispatcher.run_due(NOON + 10**11, at_boot=False)
    assert stage_texts(stages)[-1] == "FAILED INTERNAL"
    assert harness.schedule.count() == 0


def test_a_telecommand_that_took_an_entrys_id_does_not_stop_the_entry(harness: Harness) -> None:
    entry = _schedule(harness)
    harness.send("SET_MODE", SAFE, entry)
    stages = harness.dispatcher.run_due(NOON + 10**11, at_boot=False)
    assert stage_texts(stages)[-1] == "COMPLETED"
    assert harness.known(entry) == stages


def test_unscheduled_telecommands_never_run(harness: Harness) -> None:
    entry = _schedule(harness)
    assert stage_texts(harness.send("UNSCHEDULE", {"entry": entry}))[-1] == "COMPLETED"
    assert harness.dispatcher.run_due(NOON + 10**11, at_boot=False) == ()
    assert stage_texts(harness.send("UNSCHEDULE", {"entry": entry})) == [
        "REJECTED UNKNOWN_SCHEDULE_ENTRY"
    ]


def test_the_schedule_is_listed_soonest_first(harness: Harness) -> None:
    later, sooner = _schedule(harness, seconds=20), _schedule(harness, seconds=10, if_missed="run")
    (_, _, stage) = harness.send("LIST_SCHEDULE")
    assert [one["entry"] for one in stage.data["entries"]] == [sooner, later]
    assert stage.data["entries"][0] == {
        "entry": sooner,
        "at": NOON + 10 * 10**9,
        "telecommand": {"name": "SET_MODE", "args": SAFE},
        "if_missed": "run",
        "key_id": "ground",
    }


@pytest.mark.parametrize(
    ("at", "name", "args", "code"),
    [
        (NOON, "PING", {}, "TIME_PASSED"),
        (NOON + 1, "PING", {"extra": 1}, "BAD_ARGUMENTS"),
        (NOON + 1, "NO_SUCH", {}, "UNKNOWN_TELECOMMAND"),
        (
            NOON + 1,
            "SCHEDULE",
            {"at": NOON + 2, "telecommand": {"name": "PING"}},
            "BAD_ARGUMENTS",
        ),
    ],
)
def test_what_could_not_run_later_is_not_scheduled(
    harness: Harness, at: int, name: str, args: dict[str, Any], code: str
) -> None:
    stages = harness.send("SCHEDULE", {"at": at, "telecommand": {"name": name, "args": args}})
    assert stage_texts(stages) == [f"REJECTED {code}"]
    assert harness.schedule.count() == 0


def test_done_without_data_answers_an_empty_map(tmp_path: Path) -> None:
    harness = Harness(tmp_path, {"SHUT_DOWN": lambda _telecommand, _order: Completed()})
    assert harness.send("SHUT_DOWN")[-1].data == {}
    harness.state.close()


_NAMES = {"PING": {}, "SET_MODE": SAFE, "PROCESS_SCENE": SCENE}
_ENDS: dict[str, Exception | Outcome] = {
    "done": Completed(),
    "later": Deferred(),
    "refused": Refusal(Code.QUEUE_FULL, "full"),
    "failed": DiskFull("/products", "full"),
    "broken": ZeroDivisionError(),
}
_STEPS = st.one_of(
    st.tuples(
        st.just("send"),
        st.sampled_from(["a", "b", "c", "d"]),
        st.sampled_from(sorted(_NAMES)),
        st.sampled_from(sorted(_ENDS)),
    ),
    st.tuples(st.just("report"), st.sampled_from(["a", "b", "c", "d"]), st.sampled_from(Stage)),
    st.tuples(st.just("power cut")),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_STEPS, max_size=25))
def test_whatever_happens_each_durable_telecommand_closes_once_and_runs_once(
    harness: Harness, steps: list[tuple[Any, ...]]
) -> None:
    runs: list[str] = []
    durable: set[str] = set()
    how = ""

    def handler(telecommand: Telecommand, order: TelecommandContext) -> Outcome:
        end = _ENDS[how]
        if isinstance(end, Exception):
            raise end
        if telecommand.READ_ONLY:
            return Completed()
        runs.append(order.id)
        return end

    harness.handle(dict.fromkeys(_NAMES, handler))
    example = f"e{harness.sequence}"  # ids of this example begin with it
    for step in steps:
        if step[0] == "send":
            _, letter, name, how = step
            known = harness.known(example + letter)
            answer = harness.send(name, _NAMES[name], example + letter)
            assert answer == (known or answer)
            if not known and name != "PING":
                durable.add(example + letter)
        elif step[0] == "report" and harness.known(example + step[1]):
            harness.report(example + step[1], step[2])
        elif step[0] == "power cut":
            harness.power_cut()
    harness.power_cut()
    harness.dispatcher.close_orphans(lambda _telecommand: False)
    for telecommand in durable:
        stages = harness.known(telecommand)
        assert [one.stage.closes for one in stages] == [False] * (len(stages) - 1) + [True]
        assert [one for one in harness.published if one.id == telecommand][-1] == stages[-1]
    assert len(runs) == len(set(runs))


@pytest.mark.parametrize("scheduled", [True, False])
def test_what_is_hazardous_needs_its_role_when_it_runs(
    harness: Harness, *, scheduled: bool
) -> None:
    if scheduled:
        _schedule(harness)
    harness.roles[KEY.key_id] = frozenset({Role.COMMAND})
    if scheduled:
        stages = harness.dispatcher.run_due(NOON + 10**11, at_boot=False)
    else:
        stages = harness.send("SET_MODE", SAFE)
    assert stage_texts(stages) == ["REJECTED NOT_PERMITTED"]
    assert "does not have the role hazardous, which SET_MODE needs" in stages[0].cause
    assert harness.ran == []
