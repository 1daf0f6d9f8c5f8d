from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.typing import EventDict

from flightsw.commanding.dispatcher import Done, Later, Order, Outcome
from flightsw.errors import DiskFull, FlightError, StateUnavailable
from telecommands.auth import TelecommandKey, sign
from telecommands.dictionary import Code, Mode, Record, Stage, Telecommand, TelecommandBody
from telecommands.refusal import Refusal
from tests.unit.commanding.desk import KEY, NOON, Desk, told

SAFE = {"mode": "SAFE"}
SCENE = {"scene": "a.SAFE"}


def _raises(error: Exception) -> Any:
    def handler(_telecommand: object, _order: Order) -> Outcome:
        raise error

    return handler


def test_what_is_done_at_once_is_answered_and_published_in_three_stages(desk: Desk) -> None:
    stages = desk.send("PING", id_="p")
    assert told(stages) == ["ACCEPTED", "STARTED", "COMPLETED"]
    assert stages[-1].data == {"t": NOON, "mode": "OPERATIONAL", "uptime_s": 1.0}
    assert {(one.id, one.name, one.key_id) for one in stages} == {("p", "PING", "ground")}
    assert desk.published == list(stages)


def test_read_only_telecommands_leave_the_disk_alone(desk: Desk) -> None:
    statements: list[str] = []
    with desk.state.reading() as db:
        db.set_trace_callback(statements.append)
        for _ in range(3):
            desk.send("PING")
        desk.send("PING", id_="t1")
        assert statements == []
        db.set_trace_callback(None)


def test_a_ping_is_answered_while_another_thread_holds_the_state_file(desk: Desk) -> None:
    answers: list[list[str]] = []
    with desk.state.transaction():
        thread = threading.Thread(target=lambda: answers.append(told(desk.send("PING"))))
        thread.start()
        thread.join(20)
        assert answers == [["ACCEPTED", "STARTED", "COMPLETED"]]


def test_accepted_work_its_window_and_its_verification_survive_a_power_cut(desk: Desk) -> None:
    frames = desk.frames("PROCESS_SCENE", SCENE, "job")
    stages = desk.dispatcher.receive(frames, 0)
    assert told(stages) == ["ACCEPTED"]
    assert stages[0].data == {"job": "J1"}
    desk.power_cut()
    assert desk.ledger.known("job") == stages
    assert desk.state.fact("job") == b"job"
    assert desk.dispatcher.receive(frames, 0) == stages  # known, though the number is used up
    other = sign(KEY, 1, TelecommandBody(id="other", name="PING", sent_at=0))
    assert told(desk.dispatcher.receive(other, 0)) == ["REJECTED REPLAYED"]
    assert desk.ran == ["job"]


@pytest.mark.parametrize("name", ["PING", "SET_MODE"])
def test_a_repeated_id_answers_again_and_runs_nothing(desk: Desk, name: str) -> None:
    first = desk.send(name, SAFE if name == "SET_MODE" else {}, "same")
    assert desk.send("PROCESS_SCENE", SCENE, "same") == first
    assert desk.send("NOT_EVEN_A_NAME", {}, "same") == first
    assert desk.ran == ["same"]
    assert desk.dispatcher.counts().accepted == 1
    assert desk.published == list(first)


def test_a_repeated_id_is_told_the_stages_that_came_since(desk: Desk) -> None:
    desk.send("PROCESS_SCENE", SCENE, "job")
    desk.dispatcher.report("job", Stage.STARTED)
    desk.dispatcher.report("job", Stage.PROGRESS, step=1, of=9)
    desk.dispatcher.report("job", Stage.PROGRESS, step=2, of=9)
    stages = desk.send("PROCESS_SCENE", SCENE, "job")
    assert told(stages) == ["ACCEPTED", "STARTED", "PROGRESS"]
    assert stages[-1].step == 2


def test_a_handlers_refusal_rejects_and_undoes_what_it_wrote(desk: Desk) -> None:
    def full(_telecommand: object, _order: Order) -> Outcome:
        desk.state.set_fact("half", b"done")
        raise Refusal(Code.QUEUE_FULL, "500 wait", "Wait", waiting=500)

    desk.handle({"PROCESS_SCENE": full})
    (stage,) = desk.send("PROCESS_SCENE", SCENE, "job")
    assert (stage.stage, stage.code, stage.cause) == (Stage.REJECTED, Code.QUEUE_FULL, "500 wait")
    assert stage.data == {"waiting": 500}
    assert desk.state.fact("half") is None


def test_a_rejected_telecommand_cannot_be_replayed_after_a_power_cut(desk: Desk) -> None:
    desk.mode = Mode.SAFE
    frames = desk.frames("PROCESS_SCENE", SCENE, "job")
    assert told(desk.dispatcher.receive(frames, 0)) == ["REJECTED NOT_IN_THIS_MODE"]
    desk.mode = Mode.OPERATIONAL
    desk.power_cut()
    assert told(desk.dispatcher.receive(frames, 0)) == ["REJECTED NOT_IN_THIS_MODE"]
    assert desk.ran == []


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
    desk: Desk, name: str, error: Exception, code: str
) -> None:
    desk.handle({name: _raises(error)})
    args = SAFE if name == "SET_MODE" else {}
    stages = desk.send(name, args, "x")
    assert told(stages) == ["ACCEPTED", "STARTED", f"FAILED {code}"]
    assert "oops" not in stages[-1].cause
    assert desk.send(name, args, "x") == stages
    assert desk.ledger.unclosed() == []
    assert told(desk.send("LIST_SCHEDULE"))[-1] == "COMPLETED"


def test_a_fault_of_the_services_own_is_logged_and_an_event_and_a_refusal_is_not(
    desk: Desk, logs: list[EventDict]
) -> None:
    fault = ZeroDivisionError("oops")
    desk.handle({"PING": _raises(fault), "SET_MODE": _raises(Refusal(Code.NO_CONTACT, "none"))})
    desk.send("SET_MODE", SAFE)
    assert logs == []
    desk.send("PING", id_="x")
    (entry,) = logs
    assert (entry["id"], entry["exc_info"]) == ("x", fault)
    assert [name for name, _ in desk.events] == ["TELECOMMAND_REJECTED", "INTERNAL_FAULT"]


def test_an_answer_that_cannot_be_encoded_closes_the_telecommand_too(desk: Desk) -> None:
    def list_strange_names(_telecommand: object, _order: Order) -> Outcome:
        return Done(SceneRecord(scene="\udcff"))

    desk.handle({"PING": list_strange_names, "SET_MODE": list_strange_names})
    assert told(desk.send("PING"))[-1] == "FAILED INTERNAL"
    assert told(desk.send("SET_MODE", SAFE))[-1] == "FAILED INTERNAL"


def test_a_cause_of_any_length_and_any_characters_can_be_answered(desk: Desk) -> None:
    desk.handle({"SET_MODE": _raises(DiskFull("/a\udcff", "x" * 10_000))})
    stages = desk.send("SET_MODE", SAFE)
    assert len(stages[-1].cause) == 1000
    assert stages[-1].cause.startswith("/a?: xxx")


def test_a_locked_state_file_fails_what_would_change_it_but_not_a_ping(desk: Desk) -> None:
    with desk.state.reading() as db:
        db.execute("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(desk.state.path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        failed = desk.send("SET_MODE", SAFE, "x")
        assert told(failed) == ["ACCEPTED", "STARTED", "FAILED STATE_UNAVAILABLE"]
        assert told(desk.send("PING"))[-1] == "COMPLETED"
        with pytest.raises(StateUnavailable):
            desk.dispatcher.flush()
        other.execute("ROLLBACK")
    finally:
        other.close()
    assert desk.send("SET_MODE", SAFE, "x") == failed
    assert told(desk.send("SET_MODE", SAFE))[-1] == "COMPLETED"
    desk.dispatcher.flush()


@pytest.mark.parametrize("mode", [Mode.BOOT, Mode.SAFE])
def test_restricted_modes_run_no_scene_but_every_diagnosis(desk: Desk, mode: Mode) -> None:
    desk.mode = mode
    assert told(desk.send("PROCESS_SCENE", SCENE)) == ["REJECTED NOT_IN_THIS_MODE"]
    assert told(desk.send("PING"))[-1] == "COMPLETED"
    assert told(desk.send("SET_MODE", {"mode": "STANDBY"}))[-1] == "COMPLETED"


@pytest.mark.parametrize(
    ("name", "args", "code"),
    [
        ("NO_SUCH", {}, "UNKNOWN_TELECOMMAND"),
        ("PING", {"extra": 1}, "BAD_ARGUMENTS"),
        ("SET_MODE", {"mode": "BOOT"}, "BAD_ARGUMENTS"),
        ("SHUT_DOWN", {}, "UNKNOWN_TELECOMMAND"),  # this desk has no handler for it
    ],
)
def test_what_cannot_be_carried_out_is_rejected_counted_and_told(
    desk: Desk, name: str, args: dict[str, Any], code: str
) -> None:
    (stage,) = desk.send(name, args, "x")
    assert told((stage,)) == [f"REJECTED {code}"]
    assert stage.cause
    assert desk.dispatcher.counts().rejected_by_code == {code: 1}
    assert [name for name, _ in desk.events] == ["TELECOMMAND_REJECTED"]
    assert desk.send("PING", {}, "x") == (stage,)


def test_what_nobody_authorised_sent_is_answered_and_counted_but_never_published(
    desk: Desk,
) -> None:
    desk.send("PROCESS_SCENE", SCENE, "job")
    published = list(desk.published)
    forger = TelecommandKey(KEY.key_id, b"x" * 32)
    body = TelecommandBody(id="job", name="PING", sent_at=0)
    (stage,) = desk.dispatcher.receive(sign(forger, 9, body), 0)
    assert (stage.id, stage.name, stage.code) == ("job", "PING", Code.BAD_MAC)
    (stage,) = desk.dispatcher.receive(sign(TelecommandKey("who", b"x" * 32), 9, body), 0)
    assert stage.code is Code.UNKNOWN_KEY
    assert [name for name, _ in desk.events] == ["AUTHENTICATION_FAILED"] * 2
    assert desk.published == published
    assert told(desk.ledger.known("job")) == ["ACCEPTED"]
    counts = desk.dispatcher.counts()
    assert (counts.accepted, counts.rejected) == (1, 2)


def test_too_many_are_rejected_with_their_id_and_may_be_sent_again(desk: Desk) -> None:
    desk.rate = 1
    assert [told(desk.send("PING"))[-1] for _ in range(2)] == ["COMPLETED"] * 2
    frames = desk.frames("PING", {}, "late")
    (stage,) = desk.dispatcher.receive(frames, desk.monotonic)
    assert (stage.id, stage.code) == ("late", Code.RATE_LIMITED)
    assert told(desk.dispatcher.receive(frames, desk.monotonic + 1))[-1] == "COMPLETED"


@pytest.mark.parametrize("frames", [[], [b""], [b"", b""], [b"\xc1", b"\xc1"], [b"a"] * 3])
def test_garbage_is_answered_with_a_code(desk: Desk, frames: list[bytes]) -> None:
    (stage,) = desk.dispatcher.receive(frames, 0)
    assert (stage.stage, stage.code) == (Stage.REJECTED, Code.MALFORMED)


@pytest.mark.parametrize("end", [Stage.COMPLETED, Stage.FAILED, Stage.TIMED_OUT, Stage.CANCELLED])
def test_after_a_closing_stage_nothing_is_reported_any_more(desk: Desk, end: Stage) -> None:
    heard: list[Stage] = []
    desk.dispatcher.listen(lambda stage: heard.append(stage.stage))
    desk.send("PROCESS_SCENE", SCENE, "job")
    desk.dispatcher.report("job", Stage.STARTED)
    closing = desk.dispatcher.report("job", end, data={"x": 1})
    assert desk.dispatcher.report("job", Stage.PROGRESS) == closing
    assert desk.dispatcher.report("job", Stage.COMPLETED) == closing
    assert heard == [Stage.STARTED, end]
    assert [one.stage for one in desk.published] == [Stage.ACCEPTED, Stage.STARTED, end]
    desk.power_cut()
    assert told(desk.send("PING", {}, "job")) == ["ACCEPTED", "STARTED", end.value]


def test_a_report_belongs_to_the_callers_transaction(desk: Desk) -> None:
    desk.send("PROCESS_SCENE", SCENE, "job")

    def end_in_vain() -> None:
        with desk.state.transaction():
            desk.dispatcher.report("job", Stage.COMPLETED)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        end_in_vain()
    assert told(desk.ledger.known("job")) == ["ACCEPTED"]


def test_nothing_can_be_reported_of_an_id_never_accepted(desk: Desk) -> None:
    with pytest.raises(KeyError):
        desk.dispatcher.report("nobody", Stage.STARTED)


def test_stages_reported_while_the_handler_still_runs_come_after_acceptance(desk: Desk) -> None:
    workers: list[threading.Thread] = []

    def begin(_telecommand: object, order: Order) -> Outcome:
        started = threading.Event()

        def work() -> None:
            started.set()
            desk.dispatcher.report(order.id, Stage.STARTED)

        workers.append(threading.Thread(target=work))
        workers[0].start()
        assert started.wait(20)
        return Later()

    desk.handle({"PROCESS_SCENE": begin})
    desk.send("PROCESS_SCENE", SCENE, "job")
    workers[0].join(20)
    assert [one.stage for one in desk.published] == [Stage.ACCEPTED, Stage.STARTED]


def test_orphans_are_closed_at_boot_and_work_that_goes_on_is_not(desk: Desk) -> None:
    desk.send("PROCESS_SCENE", SCENE, "orphan")
    desk.send("PROCESS_SCENE", SCENE, "alive")
    desk.send("SET_MODE", SAFE, "done")
    desk.power_cut()
    desk.dispatcher.close_orphans(lambda one: one == "alive")
    assert told(desk.ledger.known("orphan")) == ["ACCEPTED", "FAILED INTERRUPTED"]
    assert told(desk.ledger.known("alive")) == ["ACCEPTED"]
    assert told(desk.ledger.known("done"))[-1] == "COMPLETED"


def _schedule(desk: Desk, name: str = "SET_MODE", seconds: int = 10, **more: Any) -> str:
    args = {"SET_MODE": SAFE, "PROCESS_SCENE": SCENE}.get(name, {})
    inner = {"name": name, "args": args}
    stages = desk.send("SCHEDULE", {"at": NOON + seconds * 10**9, "telecommand": inner, **more})
    assert told(stages) == ["ACCEPTED", "STARTED", "COMPLETED"]
    return str(stages[-1].data["entry"])


def test_a_scheduled_telecommand_runs_at_its_time_once_under_its_own_id(desk: Desk) -> None:
    entry = _schedule(desk)
    desk.power_cut()
    assert desk.dispatcher.run_due(NOON + 10 * 10**9 - 1, at_boot=False) == ()
    stages = desk.dispatcher.run_due(NOON + 10 * 10**9, at_boot=False)
    assert told(stages) == ["ACCEPTED", "STARTED", "COMPLETED"]
    assert {(one.id, one.name, one.key_id) for one in stages} == {(entry, "SET_MODE", "ground")}
    assert desk.published[-3:] == list(stages)
    desk.power_cut()
    assert desk.dispatcher.run_due(NOON + 11 * 10**9, at_boot=True) == ()
    assert desk.send("PING", {}, entry) == stages
    assert desk.ran == [entry]


def test_scheduled_work_that_takes_long_is_reported_under_the_entrys_id(desk: Desk) -> None:
    entry = _schedule(desk, "PROCESS_SCENE")
    assert told(desk.dispatcher.run_due(NOON + 10**11, at_boot=False)) == ["ACCEPTED"]
    desk.dispatcher.report(entry, Stage.COMPLETED)
    assert told(desk.ledger.known(entry)) == ["ACCEPTED", "COMPLETED"]


def test_what_was_missed_is_reported_or_run_as_it_was_asked(desk: Desk) -> None:
    missed = _schedule(desk)
    late = _schedule(desk, if_missed="run")
    future = _schedule(desk, seconds=3600)
    desk.power_cut()
    stages = desk.dispatcher.run_due(NOON + 60 * 10**9, at_boot=True)
    assert [(one.id, told((one,))[0]) for one in stages] == [
        (missed, "FAILED MISSED"),
        (late, "ACCEPTED"),
        (late, "STARTED"),
        (late, "COMPLETED"),
    ]
    assert desk.ran == [late]
    assert [name for name, _ in desk.events] == ["SCHEDULE_MISSED"]
    assert [one.entry for one in desk.schedule.entries()] == [future]
    desk.power_cut()
    assert desk.dispatcher.run_due(NOON + 61 * 10**9, at_boot=True) == ()
    assert told(desk.ledger.known(missed)) == ["FAILED MISSED"]


def test_all_that_was_missed_is_dealt_with_at_boot_however_much_it_is(desk: Desk) -> None:
    entries = [_schedule(desk) for _ in range(40)]
    stages = desk.dispatcher.run_due(NOON + 60 * 10**9, at_boot=True)
    assert [one.id for one in stages] == entries


def test_many_that_are_due_together_leave_room_for_other_telecommands(desk: Desk) -> None:
    entries = [_schedule(desk) for _ in range(40)]
    turns = [desk.dispatcher.run_due(NOON + 60 * 10**9, at_boot=False) for _ in range(4)]
    assert [one.id for turn in turns for one in turn[::3]] == entries
    assert len(turns[0][::3]) < len(entries)
    assert turns[-1] == ()


def test_a_scheduled_telecommand_obeys_the_mode_of_its_time(desk: Desk) -> None:
    _schedule(desk, "PROCESS_SCENE")
    desk.mode = Mode.SAFE
    stages = desk.dispatcher.run_due(NOON + 10**11, at_boot=False)
    assert told(stages) == ["REJECTED NOT_IN_THIS_MODE"]
    assert desk.schedule.count() == 0


def test_an_entry_stays_on_the_schedule_while_the_state_file_is_locked(desk: Desk) -> None:
    entry = _schedule(desk)
    with desk.state.reading() as db:
        db.execute("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(desk.state.path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateUnavailable):
            desk.dispatcher.run_due(NOON + 10**11, at_boot=False)
        other.execute("ROLLBACK")
    finally:
        other.close()
    assert desk.ledger.known(entry) == ()
    assert told(desk.dispatcher.run_due(NOON + 10**11, at_boot=False))[-1] == "COMPLETED"
    assert desk.ran == [entry]


def test_a_failing_scheduled_telecommand_closes_and_leaves_the_schedule(desk: Desk) -> None:
    _schedule(desk)
    desk.handle({"SET_MODE": _raises(ZeroDivisionError())})
    stages = desk.dispatcher.run_due(NOON + 10**11, at_boot=False)
    assert told(stages)[-1] == "FAILED INTERNAL"
    assert desk.schedule.count() == 0


def test_a_telecommand_that_took_an_entrys_id_does_not_stop_the_entry(desk: Desk) -> None:
    entry = _schedule(desk)
    desk.send("SET_MODE", SAFE, entry)
    stages = desk.dispatcher.run_due(NOON + 10**11, at_boot=False)
    assert told(stages)[-1] == "COMPLETED"
    assert desk.ledger.known(entry) == stages


def test_unscheduled_telecommands_never_run(desk: Desk) -> None:
    entry = _schedule(desk)
    assert told(desk.send("UNSCHEDULE", {"entry": entry}))[-1] == "COMPLETED"
    assert desk.dispatcher.run_due(NOON + 10**11, at_boot=False) == ()
    assert told(desk.send("UNSCHEDULE", {"entry": entry})) == ["REJECTED UNKNOWN_SCHEDULE_ENTRY"]


def test_the_schedule_is_listed_soonest_first(desk: Desk) -> None:
    later, sooner = _schedule(desk, seconds=20), _schedule(desk, seconds=10, if_missed="run")
    (_, _, stage) = desk.send("LIST_SCHEDULE")
    assert [one["entry"] for one in stage.data["entries"]] == [sooner, later]
    assert stage.data["entries"][0] == {
        "entry": sooner,
        "at": NOON + 10 * 10**9,
        "telecommand": {"name": "SET_MODE", "args": SAFE},
        "if_missed": "run",
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
    desk: Desk, at: int, name: str, args: dict[str, Any], code: str
) -> None:
    stages = desk.send("SCHEDULE", {"at": at, "telecommand": {"name": name, "args": args}})
    assert told(stages) == [f"REJECTED {code}"]
    assert desk.schedule.count() == 0


def test_done_without_data_answers_an_empty_map(tmp_path: Path) -> None:
    desk = Desk(tmp_path, {"SHUT_DOWN": lambda _telecommand, _order: Done()})
    assert desk.send("SHUT_DOWN")[-1].data == {}
    desk.state.close()


_NAMES = {"PING": {}, "SET_MODE": SAFE, "PROCESS_SCENE": SCENE}
_ENDS: dict[str, Exception | Outcome] = {
    "done": Done(),
    "later": Later(),
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
    desk: Desk, steps: list[tuple[Any, ...]]
) -> None:
    runs: list[str] = []
    durable: set[str] = set()
    how = ""

    def handler(telecommand: Telecommand, order: Order) -> Outcome:
        end = _ENDS[how]
        if isinstance(end, Exception):
            raise end
        if telecommand.READ_ONLY:
            return Done()
        runs.append(order.id)
        return end

    desk.handle(dict.fromkeys(_NAMES, handler))
    example = f"e{desk.sequence}"  # ids of this example begin with it
    for step in steps:
        if step[0] == "send":
            _, letter, name, how = step
            known = desk.ledger.known(example + letter)
            answer = desk.send(name, _NAMES[name], example + letter)
            assert answer == (known or answer)
            if not known and name != "PING":
                durable.add(example + letter)
        elif step[0] == "report" and desk.ledger.known(example + step[1]):
            desk.dispatcher.report(example + step[1], step[2])
        elif step[0] == "power cut":
            desk.power_cut()
    desk.power_cut()
    desk.dispatcher.close_orphans(lambda _telecommand: False)
    for telecommand in durable:
        stages = desk.ledger.known(telecommand)
        assert [one.stage.closes for one in stages] == [False] * (len(stages) - 1) + [True]
        assert [one for one in desk.published if one.id == telecommand][-1] == stages[-1]
    assert len(runs) == len(set(runs))
