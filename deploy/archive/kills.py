"""``python -m deploy.archive.kills``: a worker, then the driver, killed at random moments of a run.

Each round has a folder of its own.  After a kill the next run must complete the archive, and no
record that was there may have been computed again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import psutil

_ROOT: Final = Path(__file__).resolve().parents[2]
_SCENES: Final = 60
_WORKERS: Final = 2
_LONGEST: Final = 600.0  # seconds of a run
_POLL: Final = 0.02
_STUBS: Final = [sys.executable, "-m", "deploy.archive.stubs"]


def main() -> int:
    """Run the rounds that are missing in the results; 1 if any is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="same seed, same moments")
    parser.add_argument(
        "--results", type=Path, help="JSON lines (default: archive/kills-SEED.jsonl)"
    )
    arguments = parser.parse_args()
    path = arguments.results or _ROOT / "archive" / f"kills-{arguments.seed}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    results = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for number in range(len(results), arguments.rounds):
        choice = random.Random(arguments.seed * 1_000 + number)
        with tempfile.TemporaryDirectory() as folder:
            result = kill_once(Path(folder), choice)
        results.append(result)
        with path.open("a") as file:
            file.write(json.dumps(result) + "\n")
        print(json.dumps(result), flush=True)
    wrong = [one for one in results if not is_right(one)]
    print(f"{len(results)} rounds, {len(wrong)} wrong")
    return bool(wrong)


def is_right(result: dict[str, Any]) -> bool:
    """Whether the archive is complete and no recorded scene was computed again."""
    complete = result["scenes"] == result["records"] == result["expected"]
    return bool(complete and not result["computed_again"])


def kill_once(folder: Path, choice: random.Random, scenes: int = _SCENES) -> dict[str, Any]:
    """Kill a worker, then the driver, of one run, then run again; the figures of the round."""
    out = folder / "out"
    command = [*_STUBS, str(out), "--scenes", str(scenes), "--workers", str(_WORKERS), "--slow"]
    moments = sorted(choice.sample(range(1, scenes), 2))
    killed_at = []
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for_records(driver, out, moments[0])
        killed_at.append(_kill(choice.choice(_workers(driver.pid)), out))
        _wait_for_records(driver, out, moments[1])
        workers = _workers(driver.pid)
        killed_at.append(_kill(driver.pid, out))
    finally:
        driver.kill()
        driver.wait(_LONGEST)
    _wait_for_end(workers)
    before = _records(out)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_LONGEST, check=False, cwd=_ROOT
    )
    if done.returncode:
        shutil.copytree(out, tempfile.mkdtemp(prefix="kills-"), dirs_exist_ok=True)
        raise RuntimeError(f"the run after the kills failed: {done.stderr}")
    totals, after = json.loads(done.stdout), _records(out)
    return {
        "expected": scenes,
        "scenes": totals["scenes"],
        "records": len(after),
        "killed_at": killed_at,
        "recorded_before": len(before),
        "computed": totals["computed"],
        "computed_again": sorted(name for name, found in before.items() if after[name] != found),
    }


def _kill(process: int, out: Path) -> int:
    os.kill(process, signal.SIGKILL)
    return len(_records(out))


def _wait_for_records(driver: subprocess.Popen[bytes], out: Path, count: int) -> None:
    until = time.monotonic() + _LONGEST
    while len(_records(out)) < count:
        if driver.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"the run ended with status {driver.returncode} before its kill")
        time.sleep(_POLL)


def _wait_for_end(processes: list[int]) -> None:
    """Wait until the workers have noticed that their driver has ended."""
    _, alive = psutil.wait_procs(
        [psutil.Process(one) for one in processes if psutil.pid_exists(one)], timeout=_LONGEST
    )
    if alive:
        raise RuntimeError(f"workers outlived their driver: {alive}")


def _workers(driver: int) -> list[int]:
    """Process ids of the workers: children that themselves run Dask's code."""
    children = psutil.Process(driver).children()
    return [one.pid for one in children if "spawn_main" in " ".join(one.cmdline())]


def _records(out: Path) -> dict[str, tuple[int, int, bytes]]:
    """Each record with its inode, time and content."""
    found = {}
    for path in out.glob("*/scenes/*/*/record.json"):
        status = path.stat()
        found[str(path.relative_to(out))] = (
            status.st_ino,
            status.st_mtime_ns,
            path.read_bytes(),
        )
    return found


if __name__ == "__main__":
    sys.exit(main())
