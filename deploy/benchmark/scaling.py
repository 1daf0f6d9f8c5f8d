"""How time and memory grow with a scene's area, and over many scenes in a row.

``python -m deploy.benchmark.scaling SCENE OUT COUNT``: COUNT times the same scene in one process,
as the service does; prints a JSON list of seconds and resident bytes after each scene.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import psutil

from deploy.benchmark.scenario import SCENARIOS
from flightsw.chain import SceneRequest, open_chain
from flightsw.host.memory import return_memory
from telecommands.groundsim.scenes.scene import SceneRequest as SimulationRequest
from telecommands.groundsim.scenes.scene import simulate_scene

SIDES: Final = (1, 2, 4)
"""Times the base scene's side: 1, 4 and 16 times its area."""

_SCENARIOS: Final = ("twin", "simulator")
_SMALL_SIDE: Final = 900
_IN_A_ROW: Final = "simulator"
_LIMIT_SECONDS: Final = 3600

Run = Callable[[str, Path], dict[str, Any]]
"""Runs a scenario on a scene in a process of its own."""


class AreaFit(msgspec.Struct, frozen=True):
    """Seconds against megapixels: ``seconds = intercept + slope * megapixels``, least squares.

    ``seconds_per_pixel_ratio`` is that of the largest over that of the smallest scene, 1 where
    time is proportional to area; ``memory_ratio`` is the largest scene's peak above the idle
    process over the smallest's.
    """

    slope: float
    intercept: float
    seconds_per_pixel_ratio: float
    memory_ratio: float


class SeriesGrowth(msgspec.Struct, frozen=True):
    """The last tenth of a series of scenes against the first tenth, the very first left out."""

    scenes: int
    first_seconds: float
    last_seconds: float
    first_megabytes: float
    last_megabytes: float


def measure_scaling(work: Path, base_size: int, scenes_in_a_row: int, run: Run) -> dict[str, Any]:
    """Simulate scenes below ``work``, run them, and fit."""
    scenes = {side * base_size: simulated_below(work, side * base_size) for side in SIDES}
    runs = [
        {"scenario": name, "size": size} | run(name, scene)
        for name in _SCENARIOS
        for size, scene in scenes.items()
    ]
    series = _run_series(simulated_below(work, _SMALL_SIDE), scenes_in_a_row)
    return {
        "runs": [{key: one[key] for key in _KEPT} for one in runs],
        "fits": {
            name: msgspec.to_builtins(fit_area([one for one in runs if one["scenario"] == name]))
            for name in _SCENARIOS
        },
        "series_size": _SMALL_SIDE,
        "series": series,
        "growth": msgspec.to_builtins(growth_of(series)),
    }


_KEPT: Final = ("scenario", "size", "seconds", "cpu_seconds", "idle_bytes", "peak_bytes")


def fit_area(runs: list[dict[str, Any]]) -> AreaFit:
    """Fit runs of one scenario, from the smallest scene to the largest."""
    megapixels = np.array([one["size"] ** 2 / 1e6 for one in runs])
    seconds = np.array([one["seconds"] for one in runs])
    above_idle = [one["peak_bytes"] - one["idle_bytes"] for one in runs]
    slope, intercept = np.polyfit(megapixels, seconds, 1)
    per_pixel = seconds / megapixels
    return AreaFit(
        float(slope),
        float(intercept),
        float(per_pixel[-1] / per_pixel[0]),
        above_idle[-1] / above_idle[0],
    )


def growth_of(series: list[dict[str, float]]) -> SeriesGrowth:
    """Compare the ends of a series of at least two scenes; medians, since a machine has moments."""
    settled = series[1:]
    tenth = max(1, len(settled) // 10)
    first, last = settled[:tenth], settled[-tenth:]

    def middle(part: list[dict[str, float]], key: str) -> float:
        return float(np.median([one[key] for one in part]))

    return SeriesGrowth(
        scenes=len(series),
        first_seconds=middle(first, "seconds"),
        last_seconds=middle(last, "seconds"),
        first_megabytes=middle(first, "resident_bytes") / 1e6,
        last_megabytes=middle(last, "resident_bytes") / 1e6,
    )


def simulated_below(work: Path, size: int) -> Path:
    """The scene of ``size`` x ``size`` pixels below ``work``; simulated where it is not there."""
    folder = work / f"scene_{size}"
    found: list[Path] = sorted(folder.glob("*.SAFE"))
    if found:
        return found[0]
    folder.mkdir(parents=True, exist_ok=True)
    return simulate_scene(SimulationRequest(folder, size=size, seed=3)).scene


def _run_series(scene: Path, count: int) -> list[dict[str, float]]:
    with tempfile.TemporaryDirectory(dir=scene.parent) as out:
        done = subprocess.run(
            [sys.executable, "-m", "deploy.benchmark.scaling", str(scene), out, str(count)],
            check=True,
            capture_output=True,
            timeout=_LIMIT_SECONDS,
        )
    return list(json.loads(done.stdout))


def _series(scene: Path, out: Path, count: int) -> list[dict[str, float]]:
    scenario = SCENARIOS[_IN_A_ROW]
    if scenario.settings is None:
        raise ValueError(f"{_IN_A_ROW} runs no chain")
    process, series = psutil.Process(), []
    with open_chain(scenario.settings) as chain:
        for _ in range(count):
            started = time.perf_counter()
            chain.process(SceneRequest(scene, out, scenario.products))
            seconds = time.perf_counter() - started
            return_memory()
            series.append({"seconds": seconds, "resident_bytes": process.memory_info().rss})
    return series


def main() -> None:
    """Run the series that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("count", type=int)
    told = parser.parse_args()
    print(json.dumps(_series(told.scene, told.out, told.count)))


if __name__ == "__main__":
    main()
