"""``python -m deploy.faults``: run the fault campaigns, or continue them, and print the totals."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from tqdm import tqdm

from deploy.faults import frames, packets
from deploy.faults.answers import answer_trials, is_missed, text_of_answers
from deploy.faults.attacks import attack_trials, text_of_attacks
from deploy.faults.history import ENDINGS, make_history
from deploy.faults.kills import kill_often
from deploy.faults.laboratory import Laboratory
from deploy.faults.memory import is_beyond_bounds, memory_trials, text_of_memory
from deploy.faults.power_cuts import cut_once, record_life
from deploy.faults.recording import is_available
from deploy.faults.state_damage import SILENT, damage_once, totals

Result: TypeAlias = dict[str, Any]

_ROOT: Final = Path(__file__).resolve().parents[2]
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the files are small, and no power is cut
_EPISODE: Final = 10  # kills of one unit


@dataclass(frozen=True)
class _Campaign:
    """``trials`` yields the results from a number on; each counts as ``weight``."""

    count: int
    weight: int
    trials: Callable[[Path, int, int], Iterator[Result]]
    text: Callable[[list[Result]], str]
    is_bad: Callable[[Mapping[str, Any]], bool]


def main() -> int:
    """Run what is missing in the results; 1 if anything was lost, wrong, or did not start."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("campaigns", nargs="*", metavar="CAMPAIGN", help=", ".join(_CAMPAIGNS))
    parser.add_argument(
        "--count", type=int, help="damages, kills, cuts, flips, answers, frames, packets, attacks"
    )
    parser.add_argument("--seed", type=int, default=1, help="same seed, same draws")
    parser.add_argument("--results", type=Path, default=_ROOT / "faults", help="folder of results")
    arguments = parser.parse_args()
    if unknown := set(arguments.campaigns) - set(_CAMPAIGNS):
        parser.error(f"no campaign is called {', '.join(sorted(unknown))}")
    arguments.results.mkdir(parents=True, exist_ok=True)
    bad = False
    for name in arguments.campaigns or _CAMPAIGNS:
        campaign = _CAMPAIGNS[name]
        path = arguments.results / f"{name}-{arguments.seed}.jsonl"
        results = _run(name, campaign, path, arguments.seed, arguments.count or campaign.count)
        print(campaign.text(results))
        bad |= any(map(campaign.is_bad, results))
    return bad


def _run(name: str, campaign: _Campaign, path: Path, seed: int, count: int) -> list[Result]:
    results = _read(path)
    wanted = -(-count // campaign.weight)
    if len(results) >= wanted:
        return results
    with (
        tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder,
        path.open("a") as file,
        tqdm(total=wanted, initial=len(results), desc=name, mininterval=10) as progress,
    ):
        for result in campaign.trials(Path(folder), seed, len(results)):
            results.append(result)
            file.write(json.dumps(result) + "\n")
            file.flush()
            progress.update()
            if len(results) >= wanted:
                break
    return results


def _damages(folder: Path, seed: int, first: int) -> Iterator[Result]:
    histories = [
        make_history(folder / str(number), ending, seed) for number, ending in enumerate(ENDINGS)
    ]
    while True:
        history = histories[first % len(histories)]
        yield dict(damage_once(history, folder, seed * 1_000_000 + first))
        first += 1


def _kills(folder: Path, seed: int, first: int) -> Iterator[Result]:
    laboratory = Laboratory(folder)
    while True:
        yield kill_often(laboratory, folder / f"unit-{first}", seed * 1_000_000 + first, _EPISODE)
        first += 1


def _cuts(folder: Path, seed: int, first: int) -> Iterator[Result]:
    if not is_available():
        sys.exit("faults: strace is not installed; run: sudo apt-get install strace")
    life = record_life(Laboratory(folder), folder / "unit")
    while True:
        yield cut_once(life, seed * 1_000_000 + first)
        first += 1


def _text_of_outcomes(results: list[Result]) -> str:
    total = Counter[str]()
    for one in results:
        total.update(one)
    return "\n".join(f"{count:>9} {outcome}" for outcome, count in total.most_common())


def _text_of_kills(results: list[Result]) -> str:
    sums = {name: sum(one[name] for one in results) for name in ("kills", "jobs", "products")}
    phases: Counter[str] = Counter()
    for one in results:
        phases.update(one["phases"])
    findings = [one for result in results for one in result["findings"]]
    return "\n".join(
        (
            f"{sums['kills']} kills ({', '.join(f'{n} {p}' for p, n in phases.most_common())})",
            f"{sums['jobs']} jobs, {sums['products']} products received, {len(findings)} findings",
            *findings[:20],
        )
    )


def _text_of_cuts(results: list[Result]) -> str:
    models = Counter(one["model"] for one in results)
    bad = [f"seed {one['seed']}: {text}" for one in results for text in one["findings"]]
    counted = ", ".join(f"{count} with {model}" for model, count in models.items())
    return "\n".join((f"{counted}, {len(bad)} findings", *bad[:20]))


def _read(path: Path) -> list[Result]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def _has_findings(result: Mapping[str, Any]) -> bool:
    return bool(result["findings"])


_CAMPAIGNS: Final = {
    "state": _Campaign(
        10_000, 1, _damages, totals, lambda one: one["outcome"] in (SILENT, "did not open")
    ),
    "kills": _Campaign(1000, _EPISODE, _kills, _text_of_kills, _has_findings),
    "power-cuts": _Campaign(10_000, 1, _cuts, _text_of_cuts, _has_findings),
    "frames": _Campaign(
        1_000_000,
        frames.BATCH,
        frames.batches,
        _text_of_outcomes,
        lambda one: not {*frames.SOUND} >= {*one},
    ),
    "packets": _Campaign(
        1_000_000,
        packets.BATCH,
        packets.packet_trials,
        _text_of_outcomes,
        lambda one: not {*packets.SOUND} >= {*one},
    ),
    "memory": _Campaign(10_000, 1, memory_trials, text_of_memory, is_beyond_bounds),
    "answers": _Campaign(10_000, 1, answer_trials, text_of_answers, is_missed),
    "attacks": _Campaign(27, 1, attack_trials, text_of_attacks, _has_findings),
}


if __name__ == "__main__":
    sys.exit(main())
