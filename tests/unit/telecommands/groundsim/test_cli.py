from __future__ import annotations

import os
import subprocess
import sys

import pytest

_SLOW = ("asyncio", "http", "numpy", "sqlite3", "ssl", "tqdm", "wsgiref", "yaml")


def test_a_command_does_not_wait_for_the_libraries_of_others() -> None:
    program = """import sys
from telecommands.groundsim.cli import main
assert main(["send", "--list"]) == 0
print(*{name.split(".")[0] for name in sys.modules})
"""
    # Coverage would load sqlite3 into the command.
    environ = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=environ,
    )
    assert set(done.stdout.splitlines()[-1].split()).isdisjoint(_SLOW)


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["send", "--list"]])
def test_a_reader_that_has_ended_is_not_an_error_to_report(words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "telecommands.groundsim", *words]
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writer)
    assert ended.stderr == b""
