"""``python -m deploy.faults``: run the fault campaign, or go on with it, and print the totals."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Final

from tqdm import tqdm

from deploy.faults.history import ENDINGS, make_history
from deploy.faults.state_damage import SILENT, damage_once, totals

_ROOT: Final = Path(__file__).resolve().parents[2]
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the files are small, and no power is cut


def main() -> int:
    """Run what is missing in the results; 1 if anything was silently wrong or did not open."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="damaged state files")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same damage")
    parser.add_argument(
        "--results", type=Path, help="JSON lines (default: faults/state-SEED.jsonl)"
    )
    arguments = parser.parse_args()
    path = arguments.results or _ROOT / "faults" / f"state-{arguments.seed}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    results = _read(path)
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        histories = [
            make_history(Path(folder) / str(number), ending, arguments.seed)
            for number, ending in enumerate(ENDINGS)
        ]
        with path.open("a") as file:
            for number in tqdm(range(len(results), arguments.count), mininterval=10):
                history = histories[number % len(histories)]
                seed = arguments.seed * 1_000_000 + number
                result = damage_once(history, Path(folder), seed)
                results.append(result)
                file.write(json.dumps(result) + "\n")
                file.flush()
    print(totals(results))
    return any(one["outcome"] in (SILENT, "did not open") for one in results)


def _read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


if __name__ == "__main__":
    sys.exit(main())
