"""Help and completion of both commands."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from telecommands.command_line import address, pages

_ROOT = Path(__file__).parents[3]
_MODULES = {"flightsw": "flightsw", "groundsim": "telecommands.groundsim"}


def _words(folder: Path, line: str) -> set[str]:
    """What the command prints when the shell asks for the words that continue a line."""
    answer = folder / "words.txt"
    asked = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_COMP_WORDBREAKS": " \t\n\"'=><;|&(:",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "COMP_TYPE": "9",
    }
    command = [sys.executable, "-m", _MODULES[line.split(maxsplit=1)[0]]]
    subprocess.run(command, env={**os.environ, **asked}, check=True, timeout=60)
    return {word.strip() for word in answer.read_text().splitlines()}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("flightsw pro", {"process"}),
        ("flightsw process x --engine torch-", {"torch-cuda", "torch-cpu"}),
        ("flightsw process x --products mask,c", {"mask,cog", "mask,classes"}),
        ("groundsim send LIST_S", {"LIST_SCENES", "LIST_SCHEDULE"}),
        ("groundsim send OPEN_CONTACT by", {"bytes="}),
        ("groundsim send LIST_JOBS states=R", {"RUNNING"}),
        ("groundsim send PROCESS_SCENE fusion=", {"or", "blend"}),
    ],
)
def test_the_shell_completes_words(tmp_path: Path, line: str, expected: set[str]) -> None:
    assert _words(tmp_path, line) == expected


def test_the_pages_of_a_checkout_are_its_own() -> None:
    assert (pages() / "interface.md").exists()


def test_an_address_is_a_host_and_a_port() -> None:
    assert address("127.0.0.1:0") == ("127.0.0.1", 0)
    assert address("host:65535") == ("host", 65_535)
    for text in ("5710", ":5710", "host:", "host:65536", "host:9999999999", "host:\u00b2"):
        with pytest.raises(argparse.ArgumentTypeError, match="is not an address and a port"):
            address(text)


def test_a_handled_interrupt_in_code_from_a_string_leaves_the_exit_status(tmp_path: Path) -> None:
    program = """import sys
from telecommands.command_line import forget_interrupt
try:
    exec("raise KeyboardInterrupt")
except KeyboardInterrupt:
    forget_interrupt()
"""
    (tmp_path / "interrupted.py").write_text(program + "sys.exit(3)")
    command = [sys.executable, "-m", "interrupted"]
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{_ROOT}"}
    done = subprocess.run(command, env=environ, cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 3
