from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["send", "--list"]])
def test_a_reader_that_has_ended_is_not_an_error_to_report(words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "telecommands.groundsim", *words]
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writer)
    assert ended.stderr == b""
