from __future__ import annotations

import faulthandler
import subprocess
import sys
from pathlib import Path

import pytest

from flightsw.fdir.crash_report import FILE, LAST, Crash, CrashReport

_CRASH = """
import ctypes, sys
from pathlib import Path
from flightsw.fdir.crash_report import CrashReport

report = CrashReport(Path(sys.argv[1]))
ctypes.string_at(0)
"""


def _crash(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _CRASH, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _last(folder: Path) -> Crash:
    report = CrashReport(folder)
    report.close()
    return report.last


def test_the_next_start_learns_the_signal_and_the_calls_of_a_crash_once(tmp_path: Path) -> None:
    assert _last(tmp_path) == Crash()
    assert _crash(tmp_path).returncode < 0
    crash = _last(tmp_path)
    assert crash.signal == "Segmentation fault"
    assert "string_at" in crash.stacks
    assert _last(tmp_path) == Crash()
    assert "string_at" in (tmp_path / LAST).read_text()


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"Fatal Pyth", b"a" * 1_000_000])
def test_what_is_not_a_whole_report_is_not_a_crash(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert _last(tmp_path) == Crash()


def test_without_a_file_the_crash_is_reported_to_stderr(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    assert "Segmentation fault" in _crash(tmp_path).stderr


def test_closing_leaves_the_handler_as_it_was(tmp_path: Path) -> None:
    before = faulthandler.is_enabled()
    report = CrashReport(tmp_path)
    assert faulthandler.is_enabled()
    report.close()
    assert faulthandler.is_enabled() == before
