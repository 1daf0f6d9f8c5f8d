"""One scene through the chain, from JP2 to products, in its own process."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy.benchmark.alone import measure_usage, run_alone
from deploy.benchmark.decode import band_images, decode_strips
from flightsw.chain import SceneRequest, open_chain
from flightsw.config import DimcSettings, Settings, TwinSettings
from telecommands.dictionary import Decode

MASK: Final = frozenset({"mask", "geotiff", "report"})
_IMAGERY: Final = MASK | {"fill", "quicklook"}


def simulator(twin: TwinSettings | None = None) -> Settings:
    """Settings with the simulated card as the only engine."""
    return Settings(engines=("dimc",), dimc=DimcSettings(card="simulator", twin=twin))


_TWIN: Final = simulator(TwinSettings(compute=False))


@dataclass(frozen=True)
class Scenario:
    """One way through the chain; without settings, the bare decode that it is compared with."""

    settings: Settings | None
    products: frozenset[str] = MASK
    ground_sample_distance: int = 10
    decode: Decode = "exact"


SCENARIOS: Final = {
    "decode": Scenario(None),
    "twin": Scenario(_TWIN),
    "simulator": Scenario(simulator()),
    "twin_imagery": Scenario(_TWIN, _IMAGERY),
    "simulator_20m": Scenario(simulator(), ground_sample_distance=20),
    "twin_fast": Scenario(_TWIN, decode="fast"),
    "simulator_fast": Scenario(simulator(), decode="fast"),
    "twin_fast_20m": Scenario(_TWIN, ground_sample_distance=20, decode="fast"),
    "simulator_fast_20m": Scenario(simulator(), ground_sample_distance=20, decode="fast"),
}


def run_scenario(name: str, scene: Path) -> dict[str, Any]:
    """What it took: see :func:`~deploy.benchmark.alone.measure_usage`; the chain's ``summary``."""
    measured = run_alone(_run, name, scene)
    return {"summary": measured.pop("result"), **measured}


def _run(name: str, scene: Path) -> dict[str, Any]:
    scenario = SCENARIOS[name]
    distance = scenario.ground_sample_distance
    if scenario.settings is None:
        images = band_images(scene, distance)
        return measure_usage(lambda: decode_strips(images))
    with tempfile.TemporaryDirectory(dir=scene.parent) as out, open_chain(scenario.settings) as own:
        request = SceneRequest(
            scene,
            Path(out),
            scenario.products,
            ground_sample_distance=distance,
            decode=scenario.decode,
            overwrite=True,
        )
        return measure_usage(lambda: own.process(request).summary)
