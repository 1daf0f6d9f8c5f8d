"""Help and completion of both commands."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from flightsw.cli import main as flightsw_main
from telecommands.command_line import address, pages, whole_number
from telecommands.groundsim.cli import main as groundsim_main

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
    wrong = ("5710", ":5710", "host:", "host:65536", "host:000065536", "host:9999999999")
    for text in (*wrong, "host:\u00b2"):
        with pytest.raises(argparse.ArgumentTypeError, match="is not an address and a port"):
            address(text)


def test_a_whole_number_is_in_its_range_and_in_ascii_digits() -> None:
    read = whole_number(1, 2046, "an APID")
    assert [read(text) for text in ("1", "2046", "0002046")] == [1, 2046, 2046]
    for text in ("", "0", "2047", "000065536", "-1", "+1", " 1", "1_0", "1.0", "\u00b2", "\u0661"):
        with pytest.raises(argparse.ArgumentTypeError, match="is not an APID from 1 to 2046"):
            read(text)
    with pytest.raises(argparse.ArgumentTypeError, match=r"\A'1{39} is not an APID"):
        read("1" * 5000)  # more digits than Python converts


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("groundsim gateway --apid 000020470", "'000020470' is not an APID from 1 to 2046"),
        ("groundsim gateway --listen host:000065536", "is not an address and a port (0 to 65535)"),
        ("groundsim dashboard --port 000000065536", "is not a port from 0 to 65535"),
        ("groundsim uplink x --chunk-bytes \u00b2", "is not a number of bytes from 1 to 49152"),
        ("groundsim wait --ports 1,2,3,x", "is not three ports"),
        ("groundsim wait --ports 1,2,\u00b2", "'\u00b2' is not a port from 1 to 65535"),
        ("flightsw reprocess a b --workers 4097", "is not a number of workers from 1 to 4096"),
        ("flightsw process a -o b --threshold 0", "'0' is not a whole number of per cent"),
        ("flightsw process a -o b --buffer nan", "'nan' is not a number of metres from 0 to"),
        ("groundsim watch --for nan", "'nan' is not a number of seconds from 0 to"),
        ("groundsim watch --count 0", "'0' is not a number of packets from 1 to"),
        ("groundsim fetch x --wait inf", "'inf' is not a number of seconds from 0 to"),
        ("groundsim fetch x --count -1", "'-1' is not a number of products from 1 to"),
        ("groundsim wait --timeout nan", "'nan' is not a number of seconds from 0 to"),
        ("groundsim send PING --timeout -1", "'-1' is not a number of seconds from 0 to"),
        ("groundsim send PING --clock-offset nan", "'nan' is not a number of seconds from -"),
        ("groundsim cfdp x --no-curve --rate inf", "--rate must be a number above 0 to"),
    ],
)
def test_a_number_out_of_range_is_named_with_its_range(
    line: str, cause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command, *words = line.split()
    with suppress(SystemExit):  # flightsw.cli leaves it to the process
        assert {"flightsw": flightsw_main, "groundsim": groundsim_main}[command](words) == 2
    assert cause in capsys.readouterr().err


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
