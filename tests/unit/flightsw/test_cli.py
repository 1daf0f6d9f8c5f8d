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


def test_a_decoder_that_hangs_does_not_keep_the_process_from_ending() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _HUNG], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 4
    assert "/nonexistent" in ended.stderr
