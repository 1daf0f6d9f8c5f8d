from __future__ import annotations

import threading
from itertools import pairwise

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from flightsw.fdir.modes import ModeMachine, SafeReason
from telecommands.dictionary import Code, Mode
from telecommands.refusal import Refusal

_HOLDING = [reason for reason in SafeReason if reason.holds]
_ONCE = [SafeReason.BOOT_LOOP, SafeReason.TELECOMMAND]


def _started() -> ModeMachine:
    machine = ModeMachine()
    machine.ready()
    return machine


def _refused(machine: ModeMachine, mode: Mode) -> Refusal:
    with pytest.raises(Refusal) as caught:
        machine.request(mode)
    return caught.value


def test_the_service_boots_through_standby_into_operation_and_reports_each_step() -> None:
    changes: list[tuple[Mode, Mode]] = []
    machine = ModeMachine(lambda before, after, why: changes.append((before, after)))
    assert machine.mode is Mode.BOOT
    assert machine.ready() is Mode.OPERATIONAL
    assert changes == [(Mode.BOOT, Mode.STANDBY), (Mode.STANDBY, Mode.OPERATIONAL)]


def test_standby_is_kept_when_asked_for() -> None:
    machine = _started()
    assert machine.request(Mode.STANDBY) is Mode.STANDBY
    assert machine.ready() is Mode.STANDBY
    assert machine.request(Mode.OPERATIONAL) is Mode.OPERATIONAL


@pytest.mark.parametrize("reason", list(SafeReason))
def test_every_reason_leads_to_safe_and_says_why(reason: SafeReason) -> None:
    causes: list[str] = []
    machine = ModeMachine(lambda before, after, why: causes.append(why))
    machine.ready()
    assert machine.unsafe(reason, "detail") is Mode.SAFE
    assert causes[-1] == f"{reason.value}: detail"
    assert machine.reasons == (reason,)
    machine.unsafe(reason, "again")
    assert len(causes) == 3


def test_a_boot_loop_keeps_the_service_safe_when_it_is_ready() -> None:
    machine = ModeMachine()
    machine.unsafe(SafeReason.BOOT_LOOP, "three")
    assert machine.ready() is Mode.SAFE
    assert machine.request(Mode.OPERATIONAL) is Mode.OPERATIONAL
    assert machine.reasons == ()


def test_nothing_but_safe_can_be_asked_for_while_the_service_starts() -> None:
    machine = ModeMachine()
    assert _refused(machine, Mode.OPERATIONAL).code is Code.NOT_IN_THIS_MODE
    assert machine.request(Mode.SAFE) is Mode.SAFE
    assert _refused(machine, Mode.STANDBY).code is Code.NOT_IN_THIS_MODE
    assert machine.ready() is Mode.SAFE


def test_boot_cannot_be_asked_for() -> None:
    assert _refused(_started(), Mode.BOOT).code is Code.BAD_ARGUMENTS


@pytest.mark.parametrize("reason", _HOLDING)
def test_safe_is_not_left_while_its_reason_holds(reason: SafeReason) -> None:
    machine = _started()
    machine.unsafe(reason, "x")
    refusal = _refused(machine, Mode.STANDBY)
    assert refusal.code is Code.NOT_IN_THIS_MODE
    assert reason.value in refusal.cause
    assert refusal.cure
    machine.cleared(reason)
    assert machine.request(Mode.STANDBY) is Mode.STANDBY


@pytest.mark.parametrize("asked_for", [Mode.STANDBY, Mode.OPERATIONAL])
def test_cooling_leads_back_to_the_mode_before(asked_for: Mode) -> None:
    machine = _started()
    machine.request(asked_for)
    machine.unsafe(SafeReason.TEMPERATURE, "90 °C")
    assert machine.cleared(SafeReason.TEMPERATURE) is asked_for


def test_cooling_before_the_service_has_started_waits_for_it() -> None:
    machine = ModeMachine()
    machine.unsafe(SafeReason.TEMPERATURE, "90 °C")
    assert machine.cleared(SafeReason.TEMPERATURE) is Mode.SAFE
    assert machine.ready() is Mode.OPERATIONAL


@pytest.mark.parametrize(
    "other", [reason for reason in SafeReason if reason.value != "temperature"]
)
def test_cooling_leads_nowhere_where_another_reason_came_too(other: SafeReason) -> None:
    machine = _started()
    machine.unsafe(SafeReason.TEMPERATURE, "90 °C")
    machine.unsafe(other, "x")
    machine.cleared(other)
    assert machine.cleared(SafeReason.TEMPERATURE) is Mode.SAFE
    assert machine.request(Mode.OPERATIONAL) is Mode.OPERATIONAL


def test_threads_see_every_change_once_and_in_order() -> None:
    changes: list[tuple[Mode, Mode]] = []
    machine = ModeMachine(lambda before, after, why: changes.append((before, after)))
    machine.ready()

    def walk() -> None:
        for _ in range(200):
            machine.request(Mode.SAFE)
            machine.request(Mode.STANDBY)

    threads = [threading.Thread(target=walk) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(after is before for (_, after), (before, _) in pairwise(changes))


class ModeWalk(RuleBasedStateMachine):
    """Any order of faults, recoveries and telecommands."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[tuple[Mode, Mode, str]] = []
        self.machine = ModeMachine(lambda *change: self.changes.append(change))
        self.holding: set[SafeReason] = set()
        self.since_safe: set[SafeReason] = set()
        self.started = False

    @rule()
    def start(self) -> None:
        before = self.machine.mode
        cool = self.since_safe == {SafeReason.TEMPERATURE} and not self.holding
        self.machine.ready()
        self.started = True
        if before is Mode.SAFE and not cool:
            assert self.machine.mode is Mode.SAFE
        self._forget_when_left()

    @rule(reason=st.sampled_from(list(SafeReason)))
    def fault(self, reason: SafeReason) -> None:
        assert self.machine.unsafe(reason, "x") is Mode.SAFE
        self.since_safe.add(reason)
        if reason.holds:
            self.holding.add(reason)

    @rule(reason=st.sampled_from(list(SafeReason)))
    def recovery(self, reason: SafeReason) -> None:
        before = self.machine.mode
        after = self.machine.cleared(reason)
        self.holding.discard(reason)
        if before is Mode.SAFE and after is not Mode.SAFE:
            assert reason is SafeReason.TEMPERATURE
            assert self.since_safe == {SafeReason.TEMPERATURE}
        if before is not Mode.SAFE:
            assert after is before
        self._forget_when_left()

    @rule(mode=st.sampled_from([Mode.STANDBY, Mode.OPERATIONAL]))
    def leave(self, mode: Mode) -> None:
        before = self.machine.mode
        if self.holding or not self.started:
            assert _refused(self.machine, mode).code is Code.NOT_IN_THIS_MODE
            assert self.machine.mode is before
        else:
            assert self.machine.request(mode) is mode
        self._forget_when_left()

    @precondition(lambda self: self.machine.mode is not Mode.SAFE)
    @rule()
    def make_safe(self) -> None:
        assert self.machine.request(Mode.SAFE) is Mode.SAFE
        self.since_safe.add(SafeReason.TELECOMMAND)

    @invariant()
    def safe_while_a_reason_holds(self) -> None:
        if self.holding:
            assert self.machine.mode is Mode.SAFE

    @invariant()
    def reasons_are_given_in_safe_mode_alone(self) -> None:
        assert set(self.machine.reasons) == self.since_safe
        assert bool(self.machine.reasons) == (self.machine.mode is Mode.SAFE)

    @invariant()
    def boot_never_comes_back(self) -> None:
        assert all(after is not Mode.BOOT for _, after, _ in self.changes)

    @invariant()
    def changes_form_a_chain_that_ends_here(self) -> None:
        mode = Mode.BOOT
        for before, after, why in self.changes:
            assert before is mode
            assert after is not before
            assert why
            mode = after
        assert mode is self.machine.mode

    def _forget_when_left(self) -> None:
        if self.machine.mode is not Mode.SAFE:
            self.since_safe.clear()


TestModeWalk = ModeWalk.TestCase
