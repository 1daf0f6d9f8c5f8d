"""``python -m deploy.benchmark``: measure everything and write ``docs/benchmarks.md``."""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final

import glymur
from tqdm import tqdm

from deploy.benchmark.accuracy import measure_accuracy
from deploy.benchmark.alone import LIMIT_SECONDS
from deploy.benchmark.card import measure_card
from deploy.benchmark.dashboard import measure_dashboard
from deploy.benchmark.fast_masks import measure_fast_masks
from deploy.benchmark.page import PAGE, render
from deploy.benchmark.peers import measure_peers
from deploy.benchmark.pipe import measure_pipe
from deploy.benchmark.scaling import measure_scaling, simulated
from deploy.benchmark.scenario import SCENARIOS, run_scenario
from deploy.benchmark.service import measure_service
from flightsw.bench.machine import describe_machine
from flightsw.bench.reference import REFERENCE_TILES
from flightsw.model.package import NETWORK, load_package, shipped_package

_ROOT: Final = Path(__file__).resolve().parents[2]


def main() -> None:
    """Measure what was asked for, keep it as JSON, and render the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scene", type=Path, help="an existing scene (default: simulate one)")
    parser.add_argument("--size", type=int, default=10_980, help="side of the simulated scene, px")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of all scenarios in turn")
    parser.add_argument("--data", type=Path, default=_ROOT.parent / "shared" / "data")
    parser.add_argument("--weights", type=Path, default=shipped_package() / NETWORK)
    parser.add_argument("--work", type=Path, default=_ROOT / "bench", help="folder for scenes")
    parser.add_argument("--page", type=Path, default=PAGE, help="the figures are stored beside it")
    parser.add_argument("--tiles", type=int, default=REFERENCE_TILES, help="tiles for each engine")
    parser.add_argument("--base-size", type=int, default=2745, help="side of the smallest scene")
    parser.add_argument("--in-a-row", type=int, default=100, help="small scenes in one process")
    parser.add_argument("--minutes", type=float, default=1, help="minutes of values at 10 Hz")
    parser.add_argument("--days", type=int, default=30, help="days in the archive, 0.1 GB each")
    parser.add_argument("--only", choices=_PARTS, action="append", help="measure only this part")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # child processes are ended
    arguments.work.mkdir(exist_ok=True)
    results_file = arguments.page.with_suffix(".json")
    results = json.loads(results_file.read_text()) if results_file.is_file() else {}
    command = shlex.join(["python", "-m", "deploy.benchmark", *sys.argv[1:]])
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    run = {"command": command, "date": today, "machine": describe_machine()}
    for part in arguments.only or _PARTS:
        results[part] = _PARTS[part](arguments) | run
        results_file.write_text(json.dumps(results, indent=2) + "\n")
        arguments.page.write_text(render(results))
    print(f"wrote {arguments.page}")


def measure_chain(scene: Path, count: int) -> dict[str, Any]:
    """Rounds of all scenarios in turn, so that a slow minute of the machine affects all of them.

    ``ratios``: each scenario's wall time over the bare decode of its own round, medians.
    """
    rounds: list[dict[str, Any]] = []
    with tqdm(total=count * len(SCENARIOS), unit="run", disable=None) as bar:
        for _ in range(count):
            rounds.append({})
            for name in SCENARIOS:
                rounds[-1][name] = run_scenario(name, scene)
                bar.update()
    ratios = {
        name: median(one[name]["seconds"] / one["decode"]["seconds"] for one in rounds)
        for name in SCENARIOS
    }
    paths = sorted(scene.glob("GRANULE/*/IMG_DATA/R10m/*_B0[2348]_10m.jp2"))
    height, width = glymur.Jp2k(paths[0]).shape
    bits = sum(path.stat().st_size for path in paths) * 8 / (len(paths) * height * width)
    return {"rounds": rounds, "ratios": ratios, "bits_per_pixel": bits}


def measure_engines(out: Path, tiles: int) -> dict[str, Any]:
    """The report of ``flightsw bench``."""
    subprocess.run(
        [sys.executable, "-m", "flightsw", "bench", "--tiles", str(tiles), "-o", str(out)],
        cwd=_ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=LIMIT_SECONDS,
    )
    return {"markdown": (out / "bench.md").read_text()}


def _scene(arguments: argparse.Namespace) -> Path:
    return arguments.scene or simulated(arguments.work, arguments.size)


_PARTS: Final[dict[str, Callable[[argparse.Namespace], dict[str, Any]]]] = {
    "card": lambda _: measure_card(load_package()),
    "accuracy": lambda its: measure_accuracy(load_package(), its.weights, its.data),
    "fast_masks": lambda its: measure_fast_masks(load_package(), its.data),
    "chain": lambda its: measure_chain(_scene(its), its.rounds),
    "service": lambda its: measure_service(_scene(its), its.rounds),
    "scaling": lambda its: measure_scaling(its.work / "scaling", its.base_size, its.in_a_row),
    "pipe": lambda its: measure_pipe(its.work / "scaling", 2 * its.base_size),
    "peers": lambda its: measure_peers(_scene(its)),
    "engines": lambda its: measure_engines(its.work / "engines", its.tiles),
    "dashboard": lambda its: measure_dashboard(its.work, its.minutes, its.days),
}

if __name__ == "__main__":
    main()
