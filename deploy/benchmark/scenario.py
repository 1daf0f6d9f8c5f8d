"""``python -m deploy.benchmark.scenario NAME SCENE OUT``: one run in a process of its own.

Prints one JSON object: wall seconds, CPU seconds, resident memory before the
scene and at its peak.  A process of its own, so that one run's memory is not
another's.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import glymur
import msgspec
import psutil

from flightsw.chain import ProcessingChain, SceneRequest, open_chain
from flightsw.config import DimcSettings, Settings, TwinSettings

_STRIP_ROWS: Final = 1024
_DECODE_THREADS: Final = 2
_DECODE_LIMIT_SECONDS: Final = 1800
_MASK: Final = frozenset({"mask", "geotiff", "report"})
_IMAGERY: Final = _MASK | {"fill", "quicklook"}

_TWIN: Final = Settings(dimc=DimcSettings(card="simulator", twin=TwinSettings(compute=False)))
_SIMULATOR: Final = Settings(dimc=DimcSettings(card="simulator"))


@dataclass(frozen=True)
class Scenario:
    """One way through the chain; without settings, the bare decode that it is compared with."""

    settings: Settings | None
    products: frozenset[str] = _MASK
    ground_sample_distance: int = 10


SCENARIOS: Final = {
    "decode": Scenario(None),
    "twin": Scenario(_TWIN),
    "simulator": Scenario(_SIMULATOR),
    "twin_imagery": Scenario(_TWIN, _IMAGERY),
    "simulator_20m": Scenario(_SIMULATOR, ground_sample_distance=20),
}


def bare_decode(scene: Path) -> None:
    """Decode the four 10 m bands by strips with plain glymur and nothing else.

    The threads never wait for each other, and what is decoded is dropped at once.
    """
    paths = sorted(scene.glob("GRANULE/*/IMG_DATA/R10m/*_B0[2348]_10m.jp2"))
    height = glymur.Jp2k(paths[0]).shape[0]

    def decode(path: Path, top: int) -> None:
        glymur.Jp2k(path)[top : min(top + _STRIP_ROWS, height), :]

    with ThreadPoolExecutor(_DECODE_THREADS) as threads:
        tasks = [
            threads.submit(decode, path, top)
            for top in range(0, height, _STRIP_ROWS)
            for path in paths
        ]
        for task in tasks:
            task.result(timeout=_DECODE_LIMIT_SECONDS)


def run(scenario: Scenario, scene: Path, out: Path) -> dict[str, Any]:
    """Run one scenario and measure it."""
    chain: AbstractContextManager[ProcessingChain | None] = nullcontext()
    if scenario.settings:
        chain = open_chain(scenario.settings)
    with chain as ready:
        if ready is None:
            return _measure(lambda: bare_decode(scene))
        request = SceneRequest(
            scene, out, scenario.products, ground_sample_distance=scenario.ground_sample_distance
        )
        return _measure(lambda: msgspec.to_builtins(ready.process(request).summary))


def _measure(work: Callable[[], Any]) -> dict[str, Any]:
    idle = psutil.Process().memory_info().rss
    Path("/proc/self/clear_refs").write_text("5")  # restarts the peak of resident memory
    cpu_before = _cpu_seconds()
    started = time.perf_counter()
    summary = work()
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "cpu_seconds": _cpu_seconds() - cpu_before,
        "idle_bytes": idle,
        "peak_bytes": _peak_bytes(),
        "summary": summary,
    }


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _peak_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not tell the peak of resident memory")


def main() -> None:
    """Run the scenario that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("scene", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    print(json.dumps(run(SCENARIOS[arguments.scenario], arguments.scene, arguments.out)))


if __name__ == "__main__":
    main()
