from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flightsw.commanding import schedule as schedule_file
from telecommands.dictionary import Code, Schedule, TelecommandCall
from telecommands.refusal import Refusal
from tests.unit.flightsw.commanding.harness import Harness

PING = TelecommandCall(name="PING")


def test_entries_outlive_a_restart_as_they_were(harness: Harness) -> None:
    inner = TelecommandCall(name="PROCESS_SCENE", args={"scene": "a.SAFE", "products": ["report"]})
    harness.schedule.add("S1", Schedule(at=100, telecommand=inner, if_missed="run"), "ground", 0)
    before = harness.schedule.entries()
    harness.power_cut()
    assert harness.schedule.entries() == before
    (due,) = harness.schedule.due(100)
    assert (due.entry, due.name, due.args) == ("S1", inner.name, inner.args)
    assert (due.key_id, due.at, due.if_missed) == ("ground", 100, "run")


def test_only_so_many_entries_wait(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule_file, "MOST_ENTRIES", 3)
    for number in range(3):
        harness.schedule.add(f"S{number}", Schedule(at=9, telecommand=PING), "ground", 0)
    with pytest.raises(Refusal) as caught:
        harness.schedule.add("S3", Schedule(at=9, telecommand=PING), "ground", 0)
    assert caught.value.code is Code.QUEUE_FULL
    assert harness.schedule.count() == 3


def test_an_idle_schedule_is_looked_up_once(harness: Harness) -> None:
    harness.schedule.add("S1", Schedule(at=100, telecommand=PING), "ground", 0)
    assert harness.schedule.due(1) == []
    statements: list[str] = []
    with harness.state.reading() as db:
        db.set_trace_callback(statements.append)
        assert harness.schedule.due(99) == []
        assert statements == []
        db.set_trace_callback(None)


def test_an_entry_whose_taking_was_rolled_back_is_due_again(harness: Harness) -> None:
    def fail_to_take() -> None:
        with harness.state.transaction():
            harness.schedule.take("S1")
            raise ZeroDivisionError

    harness.schedule.add("S1", Schedule(at=100, telecommand=PING), "ground", 0)
    for _ in range(2):
        assert [one.entry for one in harness.schedule.due(100)] == ["S1"]
        with pytest.raises(ZeroDivisionError):
            fail_to_take()


def test_a_clock_set_back_makes_entries_wait_again(harness: Harness) -> None:
    harness.schedule.add("S1", Schedule(at=100, telecommand=PING), "ground", 0)
    assert harness.schedule.due(100)
    assert harness.schedule.due(50) == []
    assert harness.schedule.due(101)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(1, 50)),
            st.tuples(st.just("pass"), st.integers(0, 20)),
            st.tuples(st.just("remove"), st.integers(0, 9)),
        ),
        max_size=30,
    )
)
def test_whatever_is_added_and_removed_each_entry_is_due_once_at_its_time(
    harness: Harness, steps: list[tuple[str, int]]
) -> None:
    now, waiting = 0, {}
    for one in harness.schedule.entries():
        harness.schedule.remove(one.entry)
    for number, (step, value) in enumerate(steps):
        if step == "add":
            waiting[f"S{number}"] = now + value
            entry = Schedule(at=now + value, telecommand=PING)
            harness.schedule.add(f"S{number}", entry, "ground", now)
        elif step == "remove" and value < len(waiting):
            entry_id = list(waiting)[value]
            del waiting[entry_id]
            harness.schedule.remove(entry_id)
        elif step == "pass":
            now += value
            taken = []
            while due := harness.schedule.due(now):
                for late in due:
                    harness.schedule.take(late.entry)
                    taken.append(late.entry)
            ripe = [entry_id for entry_id, at in waiting.items() if at <= now]
            assert taken == sorted(ripe, key=waiting.__getitem__)
            waiting = {entry_id: at for entry_id, at in waiting.items() if at > now}
        assert harness.schedule.count() == len(waiting)


@pytest.mark.parametrize(
    ("named", "left"), [(("S2", "S9"), ["S1"]), (None, []), ((), ["S1", "S2"])]
)
def test_entries_that_are_distrusted_never_run(
    harness: Harness, named: tuple[str, ...] | None, left: list[str]
) -> None:
    for entry in ("S1", "S2"):
        harness.schedule.add(entry, Schedule(at=100, telecommand=PING), "ground", 0)
    harness.schedule.distrust(named)
    assert [one.entry for one in harness.schedule.due(100)] == left
