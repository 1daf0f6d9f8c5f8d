"""One function in its own process, so that its memory and threads are not another's.

``python -m deploy.benchmark.alone`` reads the pickled call from stdin; its last line on stdout is
the result as JSON.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from signal import Signals
from time import perf_counter, process_time
from typing import Any, Final

import msgspec
import psutil

from flightsw.errors import FlightError

LIMIT_SECONDS: Final = 7200.0


def run_alone(
    function: Callable[..., object], *arguments: object, limit_seconds: float = LIMIT_SECONDS
) -> Any:
    """What a module-level function returns, as JSON types.

    Raises :class:`RuntimeError` with one line if it fails, is killed, or exceeds the limit.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "deploy.benchmark.alone"],
            input=pickle.dumps((function, arguments)),
            capture_output=True,
            timeout=limit_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"did not end within {limit_seconds:g} s") from error
    if done.returncode < 0:
        raise RuntimeError(f"was ended by {Signals(-done.returncode).name}")
    if done.returncode:
        raise RuntimeError(done.stderr.decode().strip().splitlines()[-1])
    return msgspec.json.decode(done.stdout.splitlines()[-1])


def measure_usage(work: Callable[[], object]) -> dict[str, Any]:
    """Do the work once; ``seconds``, ``cpu_seconds``, ``idle_bytes``, ``peak_bytes``, ``result``.

    The bytes are the process's resident memory, so measure one piece of work in a process.
    """
    idle = psutil.Process().memory_info().rss
    Path("/proc/self/clear_refs").write_text("5")  # restarts the peak of resident memory
    started, cpu_started = perf_counter(), process_time()
    result = work()
    seconds, cpu_seconds = perf_counter() - started, process_time() - cpu_started
    status = Path("/proc/self/status").read_text()
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "idle_bytes": idle,
        "peak_bytes": 1024 * int(status.partition("VmHWM:")[2].split()[0]),
        "result": result,
    }


def main() -> int:
    """Run the call on stdin."""
    function, arguments = pickle.load(sys.stdin.buffer)  # noqa: S301 - from run_alone
    try:
        result = function(*arguments)
    except FlightError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    print(msgspec.json.encode(result).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
