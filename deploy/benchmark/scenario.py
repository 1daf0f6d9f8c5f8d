"""``python -m deploy.benchmark.scenario NAME SCENE OUT``: one run in a process of its own.

Prints one JSON object: wall seconds, CPU seconds, resident memory before the
scene and at its peak.  A process of its own, so that one run's memory is not
another's.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from flightsw.bench.peers import band_images, decode_strips
from flightsw.bench.usage import measure_usage
from flightsw.chain import SceneProcessor, SceneRequest, open_chain
from flightsw.config import DimcSettings, Settings, TwinSettings

_MASK: Final = frozenset({"mask", "geotiff", "report"})
_IMAGERY: Final = _MASK | {"fill", "quicklook"}

_TWIN: Final = Settings(
    engines=("dimc",), dimc=DimcSettings(card="simulator", twin=TwinSettings(compute=False))
)
_SIMULATOR: Final = Settings(engines=("dimc",), dimc=DimcSettings(card="simulator"))


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


def run(scenario: Scenario, scene: Path, out: Path) -> dict[str, Any]:
    """Run one scenario and measure it."""
    chain: AbstractContextManager[SceneProcessor | None] = nullcontext()
    if scenario.settings:
        chain = open_chain(scenario.settings)
    with chain as ready:
        if ready is None:
            images = band_images(scene, scenario.ground_sample_distance)
            return _measure(lambda: decode_strips(images))
        request = SceneRequest(
            scene, out, scenario.products, ground_sample_distance=scenario.ground_sample_distance
        )
        return _measure(lambda: msgspec.to_builtins(ready.process(request).summary))


def _measure(work: Callable[[], Any]) -> dict[str, Any]:
    usage, summary = measure_usage(work)
    return {**msgspec.to_builtins(usage), "summary": summary}


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
