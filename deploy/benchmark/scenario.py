"""One scene through the chain, from JP2 to products, in its own process."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy.benchmark.alone import measure_usage, run_alone
from deploy.benchmark.card import bare_openvino
from deploy.benchmark.decode import (
    BANDS,
    THREADS,
    band_images,
    decode_strips,
    decode_strips_fast,
)
from flightsw.chain import SceneRequest, open_chain
from flightsw.config import DimcSettings, Settings, TwinSettings
from flightsw.model.package import load_package
from flightsw.scene import open_scene
from telecommands.dictionary import Decode

OPENVINO_TILES: Final = 500
MASK: Final = frozenset({"mask", "geotiff", "report"})
_IMAGERY: Final = MASK | {"fill", "quicklook"}


def simulator(twin: TwinSettings | None = None) -> Settings:
    """Settings with the simulated card as the only engine."""
    return Settings(engines=("dimc",), dimc=DimcSettings(card="simulator", twin=twin))


_TWIN: Final = simulator(TwinSettings(compute=False))


@dataclass(frozen=True)
class Scenario:
    """One way through the chain."""

    settings: Settings
    products: frozenset[str] = MASK
    ground_sample_distance: int = 10
    decode: Decode = "exact"


_CHAIN: Final = {
    "twin": Scenario(_TWIN),
    "simulator": Scenario(simulator()),
    "twin_imagery": Scenario(_TWIN, _IMAGERY),
    "simulator_20m": Scenario(simulator(), ground_sample_distance=20),
    "twin_fast": Scenario(_TWIN, decode="fast"),
    "simulator_fast": Scenario(simulator(), decode="fast"),
    "twin_fast_20m": Scenario(_TWIN, ground_sample_distance=20, decode="fast"),
    "simulator_fast_20m": Scenario(simulator(), ground_sample_distance=20, decode="fast"),
}


def _exact_decode(scene: Path) -> Callable[[], object]:
    images = band_images(scene, 10)
    return lambda: decode_strips(images)


def _fast_decode(scene: Path) -> Callable[[], object]:
    images = band_images(scene, 10)
    quantification = open_scene(scene, BANDS, 10).metadata.quantification
    step = load_package().input.scale * quantification
    return lambda: decode_strips_fast(images, step)


def _openvino(_: Path) -> Callable[[], object]:
    package = load_package()
    tiles = package.golden_tiles().tiles
    request = bare_openvino(package, THREADS)

    def infer() -> None:
        for number in range(OPENVINO_TILES):
            request.infer({0: tiles[number % len(tiles)][None]})

    return infer


_BARE: Final = {"decode": _exact_decode, "decode_fast": _fast_decode, "openvino": _openvino}
"""What the chain is compared with: each prepares, and gives the work to be measured."""

SCENARIOS: Final = (*_BARE, *_CHAIN)


def run_scenario(name: str, scene: Path) -> dict[str, Any]:
    """What it took: see :func:`~deploy.benchmark.alone.measure_usage`; the chain's ``summary``."""
    measured = run_alone(_run, name, scene)
    return {"summary": measured.pop("result"), **measured}


def _run(name: str, scene: Path) -> dict[str, Any]:
    if name in _BARE:
        return measure_usage(_BARE[name](scene))
    scenario = _CHAIN[name]
    with tempfile.TemporaryDirectory(dir=scene.parent) as out, open_chain(scenario.settings) as own:
        request = SceneRequest(
            scene,
            Path(out),
            scenario.products,
            ground_sample_distance=scenario.ground_sample_distance,
            decode=scenario.decode,
            overwrite=True,
        )
        return measure_usage(lambda: own.process(request).summary)
