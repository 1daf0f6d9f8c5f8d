"""How time and memory grow with a scene's area, and over many scenes in a row."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from deploy.benchmark.alone import run_alone
from deploy.benchmark.scenario import MASK, run_scenario, simulator
from flightsw.chain import SceneRequest, open_chain
from flightsw.host.memory import return_memory
from telecommands.groundsim.scenes.scene import SceneRequest as SimulationRequest
from telecommands.groundsim.scenes.scene import simulate_scene

SIDES: Final = (1, 2, 4)
"""Times the base scene's side: 1, 4 and 16 times its area."""

_SCENARIOS: Final = ("twin", "simulator")
_SMALL_SIDE: Final = 900
_KEPT: Final = ("seconds", "cpu_seconds", "idle_bytes", "peak_bytes")


def measure_scaling(work: Path, base_size: int, scenes_in_a_row: int) -> dict[str, Any]:
    """Simulate scenes below ``work``, run them, and fit."""
    sizes = [side * base_size for side in SIDES]
    runs = [
        {"scenario": name, "size": size} | {key: one[key] for key in _KEPT}
        for name in _SCENARIOS
        for size in sizes
        for one in [run_scenario(name, simulated(work / f"scene_{size}", size))]
    ]
    small = simulated(work / f"scene_{_SMALL_SIDE}", _SMALL_SIDE)
    series = run_alone(_series, small, scenes_in_a_row)
    return {
        "runs": runs,
        "fits": {name: fit_area([one for one in runs if one["scenario"] == name])
                 for name in _SCENARIOS},
        "series_size": _SMALL_SIDE,
        "series": series,
        "growth": growth_of(series),
    }  # fmt: skip


def fit_area(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Fit runs of one scenario, from the smallest scene to the largest, by least squares.

    ``seconds = intercept + slope * megapixels``; ``seconds_per_pixel_ratio`` is that of the
    largest over that of the smallest scene, 1 if time is proportional to area; ``memory_ratio``
    is the largest scene's peak above the idle process over the smallest's.
    """
    megapixels = np.array([one["size"] ** 2 / 1e6 for one in runs])
    seconds = np.array([one["seconds"] for one in runs])
    above_idle = [one["peak_bytes"] - one["idle_bytes"] for one in runs]
    slope, intercept = np.polyfit(megapixels, seconds, 1)
    per_pixel = seconds / megapixels
    return {
        "slope": float(slope),
        "intercept": float(intercept),
        "seconds_per_pixel_ratio": float(per_pixel[-1] / per_pixel[0]),
        "memory_ratio": above_idle[-1] / above_idle[0],
    }


def growth_of(series: list[dict[str, float]]) -> dict[str, float]:
    """Medians of the first and the last tenth of at least two scenes, the very first left out."""
    settled = series[1:]
    tenth = max(1, len(settled) // 10)
    growth: dict[str, float] = {"scenes": len(series)}
    for end, part in (("first", settled[:tenth]), ("last", settled[-tenth:])):
        growth[f"{end}_seconds"] = float(np.median([one["seconds"] for one in part]))
        growth[f"{end}_megabytes"] = float(np.median([one["resident_bytes"] for one in part])) / 1e6
    return growth


def simulated(folder: Path, size: int) -> Path:
    """The scene of ``size`` x ``size`` pixels in a folder; simulated if there is none yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for found in folder.glob("*.SAFE"):
        return found
    return simulate_scene(SimulationRequest(folder, size=size, seed=3)).scene


def _series(scene: Path, count: int) -> list[dict[str, float]]:
    """Seconds and resident bytes after each of ``count`` runs of a scene, as in the service."""
    process, series = psutil.Process(), []
    with tempfile.TemporaryDirectory(dir=scene.parent) as out, open_chain(simulator()) as chain:
        for _ in range(count):
            started = time.perf_counter()
            chain.process(SceneRequest(scene, Path(out), MASK, overwrite=True))
            seconds = time.perf_counter() - started
            return_memory()
            series.append({"seconds": seconds, "resident_bytes": process.memory_info().rss})
    return series
