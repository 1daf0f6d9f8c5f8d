from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightsw.commanding.arming import MOST_ARMED, ArmedTelecommands
from telecommands.codec import convert_arguments
from telecommands.dictionary import Arm, Code, TelecommandCall
from telecommands.refusal import Refusal
from tests.unit.flightsw.commanding.harness import KEY, NOON, Harness, stage_texts

SAFE = {"mode": "SAFE"}
STANDBY = {"mode": "STANDBY"}
HOT = {"name": "fdir.hot_c", "value": 84.0}


def _request(name: str, args: dict[str, Any]) -> Arm:
    return Arm(telecommand=TelecommandCall(name=name, args=args))


def _refused(
    armed: ArmedTelecommands, key: str, name: str, args: dict[str, Any], arm: str | None, now: float
) -> bool:
    try:
        armed.check(key, convert_arguments(name, args), arm, now)
    except Refusal as refusal:
        return refusal.code is Code.NOT_ARMED
    return False


def test_an_arm_counts_for_its_key_its_telecommand_and_its_arguments() -> None:
    armed = ArmedTelecommands(lambda: 30.0)
    answer = armed.arm("alpha", _request("SET_MODE", SAFE), "a1", 100.0)
    assert (answer.arm, answer.seconds) == ("a1", 30.0)
    assert not _refused(armed, "alpha", "SET_MODE", SAFE, "a1", 130.0)
    assert _refused(armed, "beta", "SET_MODE", SAFE, "a1", 101.0)
    assert _refused(armed, "alpha", "SET_MODE", STANDBY, "a1", 101.0)
    assert _refused(armed, "alpha", "SHUT_DOWN", {}, "a1", 101.0)
    assert _refused(armed, "alpha", "SET_MODE", SAFE, "a2", 101.0)
    assert _refused(armed, "alpha", "SET_MODE", SAFE, None, 101.0)
    assert _refused(armed, "alpha", "SET_MODE", SAFE, "a1", 130.1)


def test_an_arm_that_was_used_is_used_up() -> None:
    armed = ArmedTelecommands(lambda: 30.0)
    armed.arm("alpha", _request("SET_MODE", SAFE), "a1", 0.0)
    armed.spend("beta", "a1")
    assert not _refused(armed, "alpha", "SET_MODE", SAFE, "a1", 1.0)
    armed.spend("alpha", "a1")
    assert _refused(armed, "alpha", "SET_MODE", SAFE, "a1", 1.0)


def test_what_is_not_hazardous_needs_no_arm_and_gets_none() -> None:
    armed = ArmedTelecommands(lambda: 30.0)
    for name, args in (
        ("PING", {}),
        ("SET_PARAMETER", {"name": "processing.attempts", "value": 3}),
        ("SCHEDULE", {"at": 1, "telecommand": {"name": "PING"}}),
        ("ARM", {"telecommand": {"name": "SHUT_DOWN"}}),
    ):
        armed.check("alpha", convert_arguments(name, args), None, 0.0)
        with pytest.raises(Refusal) as refused:
            armed.arm("alpha", _request(name, args), "a1", 0.0)
        assert refused.value.code is Code.BAD_ARGUMENTS
    with pytest.raises(Refusal) as refused:
        armed.arm("alpha", _request("SET_MODE", {"mode": "NONE"}), "a1", 0.0)
    assert refused.value.code is Code.BAD_ARGUMENTS


def test_a_hazardous_parameter_is_armed_also_inside_a_schedule() -> None:
    armed = ArmedTelecommands(lambda: 30.0)
    scheduled = {"at": 1, "telecommand": {"name": "SET_PARAMETER", "args": HOT}}
    for name, args in (("SET_PARAMETER", HOT), ("SCHEDULE", scheduled)):
        assert _refused(armed, "alpha", name, args, None, 0.0)
        armed.arm("alpha", _request(name, args), name, 0.0)
        assert not _refused(armed, "alpha", name, args, name, 0.0)


def test_a_key_has_a_bounded_number_armed_and_pushes_out_nobody_else_s() -> None:
    armed = ArmedTelecommands(lambda: 30.0)
    armed.arm("alpha", _request("SET_MODE", SAFE), "mine", 0.0)
    for number in range(5 * MOST_ARMED):
        armed.arm("beta", _request("SET_MODE", SAFE), f"b{number}", 0.0)
    held = [
        number
        for number in range(5 * MOST_ARMED)
        if not _refused(armed, "beta", "SET_MODE", SAFE, f"b{number}", 1.0)
    ]
    assert held == list(range(4 * MOST_ARMED, 5 * MOST_ARMED))
    assert not _refused(armed, "alpha", "SET_MODE", SAFE, "mine", 1.0)


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["arm", "fire"]),
        st.sampled_from(["alpha", "beta"]),
        st.sampled_from(["SAFE", "STANDBY"]),
        st.sampled_from(["x", "y"]),
        st.integers(0, 40),
    ),
    max_size=30,
)


@settings(max_examples=50)
@given(_STEPS)
def test_whatever_the_order_each_run_has_its_own_arm_of_the_same_key_and_arguments(
    steps: list[tuple[str, str, str, str, int]],
) -> None:
    armed = ArmedTelecommands(lambda: 30.0)
    model: dict[tuple[str, str], tuple[str, int]] = {}  # by key and arm: mode, latest time
    now = 0
    for step, key, mode, arm, later in steps:
        now += later
        if step == "arm":
            armed.arm(key, _request("SET_MODE", {"mode": mode}), arm, now)
            model[key, arm] = (mode, now + 30)
            continue
        known, until = model.get((key, arm), ("", -1))
        allowed = known == mode and now <= until
        assert _refused(armed, key, "SET_MODE", {"mode": mode}, arm, now) is not allowed
        if allowed:
            armed.spend(key, arm)
            del model[key, arm]


def test_arm_and_fire_through_the_dispatcher(harness: Harness) -> None:
    harness.arms = False
    assert stage_texts(harness.send("SET_MODE", SAFE)) == ["REJECTED NOT_ARMED"]
    arming = harness.send("ARM", {"telecommand": {"name": "SET_MODE", "args": SAFE}})
    assert stage_texts(arming) == ["ACCEPTED", "STARTED", "COMPLETED"]
    arm = arming[-1].data["arm"]
    assert stage_texts(harness.send("SET_MODE", STANDBY, arm=arm)) == ["REJECTED NOT_ARMED"]
    assert stage_texts(harness.send("SET_MODE", SAFE, arm=arm))[-1] == "COMPLETED"
    assert stage_texts(harness.send("SET_MODE", SAFE, arm=arm)) == ["REJECTED NOT_ARMED"]
    assert len(harness.ran) == 1


def test_the_same_telecommand_once_more_is_answered_although_its_arm_is_used_up(
    harness: Harness,
) -> None:
    frames = harness.frames("SET_MODE", SAFE, "fire")
    stages = harness.dispatcher.receive(frames, 0)
    assert stage_texts(stages)[-1] == "COMPLETED"
    assert harness.dispatcher.receive(frames, 0) == stages
    assert harness.ran == ["fire"]


def test_an_arm_whose_telecommand_was_rejected_is_used_up_too(harness: Harness) -> None:
    harness.arms = False
    arming = harness.send("ARM", {"telecommand": {"name": "SHUT_DOWN", "args": {}}})
    arm = arming[-1].data["arm"]
    assert stage_texts(harness.send("SHUT_DOWN", arm=arm)) == ["REJECTED UNKNOWN_TELECOMMAND"]
    assert stage_texts(harness.send("SHUT_DOWN", arm=arm)) == ["REJECTED NOT_ARMED"]


def test_after_a_restart_nothing_is_armed(harness: Harness) -> None:
    harness.arms = False
    arming = harness.send("ARM", {"telecommand": {"name": "SET_MODE", "args": SAFE}})
    harness.power_cut()
    fired = harness.send("SET_MODE", SAFE, arm=arming[-1].data["arm"])
    assert stage_texts(fired) == ["REJECTED NOT_ARMED"]


def test_what_was_armed_when_it_was_scheduled_runs_at_its_time(harness: Harness) -> None:
    at = NOON + 10**9
    args = {"at": at, "telecommand": {"name": "SET_MODE", "args": SAFE}}
    harness.arms = False
    assert stage_texts(harness.send("SCHEDULE", args)) == ["REJECTED NOT_ARMED"]
    harness.arms = True
    assert stage_texts(harness.send("SCHEDULE", args))[-1] == "COMPLETED"
    assert stage_texts(harness.dispatcher.run_due(at, at_boot=False))[-1] == "COMPLETED"
    assert {one.key_id for one in harness.published} == {KEY.key_id}
