"""A command that is forked from a loaded process is what ``python -m`` makes of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import pytest

from deploy.rig.forked import ForkedCommand, fork_server, run_forked


def _report_fork_server(reports: SimpleQueue[tuple[int, bool]]) -> None:
    threads = list(Path(f"/proc/{os.getppid()}/task").iterdir())
    reports.put((len(threads), "openvino" in sys.modules))


def test_no_thread_could_hold_a_lock_when_a_process_is_forked() -> None:
    forks = fork_server()
    reports: SimpleQueue[tuple[int, bool]] = forks.SimpleQueue()
    child = forks.Process(target=_report_fork_server, args=(reports,))
    child.start()
    child.join(120)
    assert not reports.empty()
    assert reports.get() == (1, True)


@pytest.mark.parametrize("words", [["process", "--help"], ["compare", "a.npy", "b.npy"]])
def test_a_forked_command_prints_and_ends_as_python_m_does(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-m", "flightsw", *words]
    own = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    forked = run_forked("flightsw", words, timeout_s=120)
    assert own.stdout + own.stderr
    assert (forked.returncode, forked.stdout, forked.stderr) == (
        own.returncode,
        own.stdout,
        own.stderr,
    )


def test_a_forked_command_has_the_folder_of_who_starts_it_and_hears_signals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run_forked("telecommands.groundsim", ["keys", "generate", "me", "--keys", "here"], 120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "here" / "me.key").exists()
    with tempfile.TemporaryFile() as output:
        command = ForkedCommand("flightsw", ["selftest"], output, output)
        with pytest.raises(subprocess.TimeoutExpired):
            command.wait(0)
        command.send_signal(signal.SIGKILL)
        assert command.wait(60) == -signal.SIGKILL
