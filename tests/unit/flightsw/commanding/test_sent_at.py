from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsw.commanding.sent_at import SentAtWindow
from telecommands.dictionary import Code
from telecommands.refusal import Refusal
from tests.unit.flightsw.commanding.harness import NOON, Harness, stage_texts

HOUR = 3600 * 10**9


@given(st.integers(-(10**12), 10**12), st.integers(0, 600), st.booleans())
def test_a_time_is_refused_only_outside_the_window_of_a_trusted_clock(
    difference: int, seconds: int, trusted: bool
) -> None:
    window = SentAtWindow(lambda: float(seconds), lambda: trusted)
    assert window.checked == (trusted and seconds > 0)
    if not window.checked or abs(difference) <= seconds * 10**9:
        window.check(NOON + difference, NOON)
        return
    with pytest.raises(Refusal) as refused:
        window.check(NOON + difference, NOON)
    assert refused.value.code is Code.WRONG_TIME
    assert refused.value.data == {"t": NOON}


def test_what_was_held_back_is_rejected_and_the_answer_gives_the_unit_s_time(
    harness: Harness,
) -> None:
    harness.clock_trusted = True
    frames = harness.frames("PROCESS_SCENE", {"scene": "a.SAFE"}, "held")
    harness.now += HOUR
    (stage,) = harness.dispatcher.receive(frames, 0)
    assert stage_texts((stage,)) == ["REJECTED WRONG_TIME"]
    assert stage.data == {"t": harness.now}
    assert "-3600.0 s" in stage.cause
    assert harness.ran == []
    assert harness.published == [stage]


def test_a_repeated_id_is_answered_however_late(harness: Harness) -> None:
    harness.clock_trusted = True
    frames = harness.frames("PROCESS_SCENE", {"scene": "a.SAFE"}, "slow")
    stages = harness.dispatcher.receive(frames, 0)
    harness.now += HOUR
    assert harness.dispatcher.receive(frames, 0) == stages


@pytest.mark.parametrize(("window", "trusted"), [(0.0, True), (300.0, False)])
def test_without_a_window_or_a_trusted_clock_any_time_will_do(
    harness: Harness, window: float, trusted: bool
) -> None:
    harness.window, harness.clock_trusted = window, trusted
    frames = harness.frames("PING", {})
    harness.now += HOUR
    assert stage_texts(harness.dispatcher.receive(frames, 0))[-1] == "COMPLETED"
