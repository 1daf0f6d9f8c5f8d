from __future__ import annotations

import subprocess
import sys

import pytest

# In a process of its own: a signal to a test worker may end it.
_PROGRAM = """
import signal
from telecommands.groundsim.signals import stopped_by_signals

number = signal.{name}
before, stopped = signal.getsignal(number), []
with stopped_by_signals(lambda: stopped.append("by a signal")):
    signal.raise_signal(number)
assert stopped == ["by a signal"]
assert signal.getsignal(number) is before
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_stops_and_its_handler_is_then_what_it_was(name: str) -> None:
    program = _PROGRAM.format(name=name)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
