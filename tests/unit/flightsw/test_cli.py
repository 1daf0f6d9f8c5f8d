"""The end of the process."""

from __future__ import annotations

import subprocess
import sys

_HUNG = """
import sys, threading
from flightsw.cli import main_and_exit
threading.Thread(target=threading.Event().wait, name="decode_0").start()
sys.argv = ["flightsw", "model", "/nonexistent"]
main_and_exit()
"""

_INTERRUPTED_AT_THE_END = """
import atexit, os, signal, sys
from flightsw.cli import main_and_exit
for stop in (signal.SIGINT, signal.SIGTERM):
    atexit.register(os.kill, os.getpid(), stop)
sys.argv = ["flightsw", "model", "/nonexistent"]
main_and_exit()
"""


def _end_of(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )


def test_a_decoder_that_hangs_does_not_keep_the_process_from_ending() -> None:
    ended = _end_of(_HUNG)
    assert ended.returncode == 4
    assert "/nonexistent" in ended.stderr


def test_an_interrupt_while_the_interpreter_ends_leaves_status_and_message_of_the_command() -> None:
    ended = _end_of(_INTERRUPTED_AT_THE_END)
    assert ended.returncode == 4
    assert len(ended.stderr.splitlines()) == 1
