from __future__ import annotations

import signal

import pytest

from telecommands.groundsim.signals import stopped_by_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_stops_and_its_handler_is_then_what_it_was(number: signal.Signals) -> None:
    before, stopped = signal.getsignal(number), list[str]()
    with stopped_by_signals(lambda: stopped.append("by a signal")):
        signal.raise_signal(number)
    assert stopped == ["by a signal"]
    assert signal.getsignal(number) is before
