"""``python -m deploy.faults.fuzz [DECODER …]``: coverage-guided inputs, or continue.

libFuzzer (through atheris) keeps what reaches new code in faults/fuzz/DECODER/corpus.  An input
that raises anything but a named error, crashes the process, or takes longer than a few seconds has
escaped, and is kept beside it.  Prints the totals; 1 if anything escaped.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from deploy.faults.decoders import DECODERS

_ROOT: Final = Path(__file__).resolve().parents[2]
_INPUTS: Final = 1_000_000
_MOST_CRASHES: Final = 20


def main() -> int:
    """Run what is missing of each decoder's inputs; 1 if an input escaped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("decoders", nargs="*", metavar="DECODER", help=", ".join(DECODERS))
    parser.add_argument("--inputs", type=int, default=_INPUTS, help="of each decoder")
    parser.add_argument("--results", type=Path, default=_ROOT / "faults" / "fuzz")
    arguments = parser.parse_args()
    if unknown := set(arguments.decoders) - set(DECODERS):
        parser.error(f"no decoder is called {', '.join(sorted(unknown))}")
    results = {
        name: _complete(name, arguments.results, arguments.inputs)
        for name in arguments.decoders or DECODERS
    }
    print("| decoder | inputs | corpus | escaped | CPU, s |\n|---|---:|---:|---:|---:|")
    for name, result in results.items():
        print(f"| {name} | {' | '.join(f'{value:,}' for value in result)} |")
    return any(escaped for _inputs, _corpus, escaped, _seconds in results.values())


def _complete(name: str, results: Path, wanted: int) -> tuple[int, int, int, int]:
    """Inputs so far, length of the corpus, escapes and CPU seconds, after the missing inputs."""
    folder = results / name
    for part in ("corpus", "escaped"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    crashes = 0
    while (missing := wanted - _count(folder)[0]) > 0 and crashes < _MOST_CRASHES:
        child = [sys.executable, "-m", "deploy.faults.fuzz_one", name, str(folder), str(missing)]
        with (folder / "fuzz.log").open("ab") as log:
            done = subprocess.run(child, stderr=log, check=False)
        crashes += done.returncode != 0
    inputs, seconds = _count(folder)
    escaped = sum(1 for path in (folder / "escaped").iterdir() if path.suffix != ".txt")
    return inputs, sum(1 for _ in (folder / "corpus").iterdir()), escaped, round(seconds)


def _count(folder: Path) -> tuple[int, float]:
    path = folder / "count.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    parts = [json.loads(line) for line in lines]
    return sum(one["inputs"] for one in parts), sum(one["seconds"] for one in parts)


if __name__ == "__main__":
    sys.exit(main())
