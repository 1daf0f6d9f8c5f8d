"""``python -m deploy.benchmark``: measure everything and write ``docs/benchmarks.md``."""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
import signal
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, Final

import glymur
import msgspec
from tqdm import tqdm

from deploy.benchmark.accuracy import measure_accuracy
from deploy.benchmark.card import (
    WIDTH,
    CardArrangement,
    keep_twin_busy,
    scene_in_memory,
    simulator_against_openvino,
)
from deploy.benchmark.dashboard.measure import measure_dashboard
from deploy.benchmark.page import PAGE, render
from deploy.benchmark.pipe import ROUNDS, measure_pipe
from deploy.benchmark.scaling import measure_scaling, simulated_below
from deploy.benchmark.scenario import SCENARIOS
from deploy.benchmark.service import measure_service
from flightsw.bench.machine import describe_machine
from flightsw.bench.peers import PEERS, run_peer
from flightsw.bench.reference import REFERENCE_TILES
from flightsw.bench.run import PEER_DISTANCES
from flightsw.model.package import NETWORK, load_package, shipped_package
from flightsw.scene.strips import COLUMNS_WANTED
from telecommands.groundsim.scenes.scene import SceneRequest, simulate_scene

_ROOT: Final = Path(__file__).resolve().parents[2]
_RUN_LIMIT_SECONDS: Final = 1800
_ENGINES_LIMIT_SECONDS: Final = 7200
_CARD_ROUNDS: Final = 7
_FLOOD_SECONDS: Final = 60.0
_CARDS: Final[tuple[tuple[float, CardArrangement], ...]] = (
    (0.94, "spatial"),
    (0.47, "spatial"),
    (0.47, "batch"),
    (0.47, "instances"),
)


def main() -> None:
    """Measure what was asked for, keep it as JSON, and render the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scene", type=Path, help="a scene that exists (default: simulate one)")
    parser.add_argument("--size", type=int, default=10_980, help="of the simulated scene")
    parser.add_argument("--rounds", type=int, default=3, help="of each scenario, interleaved")
    parser.add_argument("--data", type=Path, default=_ROOT.parent / "shared" / "data")
    parser.add_argument("--weights", type=Path, default=shipped_package() / NETWORK)
    parser.add_argument("--work", type=Path, default=_ROOT / "bench")
    parser.add_argument("--page", type=Path, default=PAGE, help="figures lie beside")
    parser.add_argument("--tiles", type=int, default=REFERENCE_TILES, help="of each engine")
    parser.add_argument("--base-size", type=int, default=2745, help="of the smallest of the areas")
    parser.add_argument("--in-a-row", type=int, default=100, help="small scenes in one process")
    parser.add_argument("--minutes", type=float, default=10, help="of 50 values at 10 Hz")
    parser.add_argument("--days", type=int, default=30, help="of the archive at 1 Hz, 0.1 GB each")
    parser.add_argument("--only", choices=_PARTS, action="append")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # what was started is ended
    arguments.work.mkdir(exist_ok=True)
    results_file = arguments.page.with_suffix(".json")
    results = json.loads(results_file.read_text()) if results_file.is_file() else {}
    command = shlex.join(["python", "-m", "deploy.benchmark", *sys.argv[1:]])
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    told = {"command": command, "date": today, "machine": describe_machine()}
    for part in arguments.only or _PARTS:
        results[part] = _PARTS[part](arguments) | told
        results_file.write_text(json.dumps(results, indent=2) + "\n")
        arguments.page.write_text(render(results))
    print(f"wrote {arguments.page}")


def _card(_: argparse.Namespace) -> dict[str, Any]:
    package = load_package()
    scenes = [scene_in_memory(columns) for columns in (COLUMNS_WANTED, WIDTH)]
    keep_twin_busy(package, 0.47, "batch", scenes[0])  # warms up; not measured
    busy = [
        keep_twin_busy(package, latency, arrangement, scene)
        for _ in range(_CARD_ROUNDS)  # in turn, so that a slow moment of the machine hits all alike
        for latency, arrangement in _CARDS
        for scene in scenes
    ]
    overhead = simulator_against_openvino(package)
    return {
        "busy": msgspec.to_builtins(busy),
        "overhead": msgspec.to_builtins(overhead) | {"ratio": overhead.ratio},
    }


def _accuracy(arguments: argparse.Namespace) -> dict[str, Any]:
    found = measure_accuracy(load_package(), arguments.weights, arguments.data)
    return dict(msgspec.to_builtins(found))


def _chain(arguments: argparse.Namespace) -> dict[str, Any]:
    """Rounds of all scenarios in turn, so that a slow minute of the machine hits them alike."""
    scene = arguments.scene or _simulated(arguments)
    rounds: list[dict[str, Any]] = []
    for number in tqdm(range(arguments.rounds * len(SCENARIOS)), unit="run", disable=None):
        name = list(SCENARIOS)[number % len(SCENARIOS)]
        if number % len(SCENARIOS) == 0:
            rounds.append({})
        rounds[-1][name] = _run_scenario(name, scene)
    return {"rounds": rounds, "ratios": _ratios(rounds), "bits_per_pixel": _bits_per_pixel(scene)}


def _service(arguments: argparse.Namespace) -> dict[str, Any]:
    scene = arguments.scene or _simulated(arguments)
    found = measure_service(scene, arguments.rounds, _FLOOD_SECONDS)
    return dict(msgspec.to_builtins(found))


def _scaling(arguments: argparse.Namespace) -> dict[str, Any]:
    return measure_scaling(
        arguments.work / "scaling", arguments.base_size, arguments.in_a_row, _run_scenario
    )


def _pipe(arguments: argparse.Namespace) -> dict[str, Any]:
    size = 2 * arguments.base_size
    scene = simulated_below(arguments.work / "scaling", size)
    rows = [
        {"latency_ms": latency_ms, "share": one.share} | msgspec.to_builtins(one)
        for latency_ms, rounds in ROUNDS.items()
        for one in measure_pipe(scene, latency_ms, rounds).rounds
    ]
    return {"size": size, "rounds": rows}


def _peers(arguments: argparse.Namespace) -> dict[str, Any]:
    scene = arguments.scene or _simulated(arguments)
    wanted = tqdm([*product(PEER_DISTANCES, PEERS)], unit="run", disable=None)
    found = [run_peer(name, scene, distance) for distance, name in wanted]
    return {"peers": msgspec.to_builtins(found)}


def _engines(arguments: argparse.Namespace) -> dict[str, Any]:
    out = arguments.work / "engines"
    options = ["--tiles", str(arguments.tiles), "-o", str(out)]
    subprocess.run(
        [sys.executable, "-m", "flightsw", "bench", *options],
        cwd=_ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=_ENGINES_LIMIT_SECONDS,
    )
    return {"markdown": (out / "bench.md").read_text()}


def _dashboard(arguments: argparse.Namespace) -> dict[str, Any]:
    return measure_dashboard(arguments.work, arguments.minutes, arguments.days)


def _ratios(rounds: list[dict[str, Any]]) -> dict[str, float]:
    """Each scenario's wall time over the bare decode of its own round; the median of the rounds."""
    return {
        name: median(one[name]["seconds"] / one["decode"]["seconds"] for one in rounds)
        for name in SCENARIOS
    }


def _run_scenario(name: str, scene: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=scene.parent) as out:
        done = subprocess.run(
            [sys.executable, "-m", "deploy.benchmark.scenario", name, str(scene), out],
            cwd=_ROOT,
            check=True,
            capture_output=True,
            timeout=_RUN_LIMIT_SECONDS,
        )
    return dict(json.loads(done.stdout))


def _simulated(arguments: argparse.Namespace) -> Path:
    found: list[Path] = sorted(arguments.work.glob("*.SAFE"))
    if found:
        return found[0]
    request = SceneRequest(arguments.work, size=arguments.size, seed=3)
    return simulate_scene(request).scene


def _bits_per_pixel(scene: Path) -> float:
    paths = sorted(scene.glob("GRANULE/*/IMG_DATA/R10m/*_B0[2348]_10m.jp2"))
    height, width = glymur.Jp2k(paths[0]).shape
    return float(sum(path.stat().st_size for path in paths) * 8 / (len(paths) * height * width))


_PARTS: Final = {
    "card": _card,
    "accuracy": _accuracy,
    "chain": _chain,
    "service": _service,
    "scaling": _scaling,
    "pipe": _pipe,
    "peers": _peers,
    "engines": _engines,
    "dashboard": _dashboard,
}

if __name__ == "__main__":
    main()
