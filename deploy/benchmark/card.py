"""The card's seam: how busy the twin is kept, and what the simulator adds to OpenVINO."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from flightsw.bench.statistics import cadence_jitter_ms
from flightsw.chain import tune_interpreter
from flightsw.config import DimcSettings, PipelineSettings, TwinSettings
from flightsw.dimc.simulator.int8_graph import load_openvino
from flightsw.engines.dimc.engine import open_dimc_engine
from flightsw.model.package import ModelPackage
from flightsw.pipeline import process_scene
from flightsw.scene.array_scene import ArrayScene
from flightsw.testing import scene_metadata

CardArrangement: TypeAlias = Literal["spatial", "batch", "instances"]

WIDTH: Final = 10_980
"""Rows and columns of a full scene."""

_ROUNDS: Final = 9
_TILES_A_ROUND: Final = 40


@dataclass(frozen=True)
class BusyCard:
    """A full scene from memory through the twin, in panels of so many ``columns``.

    ``added_jitter_ms`` is told of a single instance: see
    :func:`~flightsw.bench.statistics.cadence_jitter_ms`.
    """

    latency_ms: float
    arrangement: str
    columns: int
    busy_share: float
    tiles_per_second: float
    inference_seconds: float
    added_jitter_ms: float | None


def keep_twin_busy(
    package: ModelPackage,
    latency_ms: float,
    arrangement: CardArrangement,
    scene: ArrayScene,
) -> BusyCard:
    """Process strips that are decoded already; the card should never wait."""
    twin = TwinSettings(latency_ms=latency_ms, compute=False)
    card = DimcSettings(card="simulator", arrangement=arrangement, twin=twin)
    tune_interpreter()
    with open_dimc_engine(package, card) as engine:
        summary = process_scene(scene, engine, PipelineSettings())
        readings, batch = engine.readings(), engine.info.batch
    assert readings is not None
    assert summary.card_busy_share is not None
    return BusyCard(
        latency_ms,
        arrangement,
        scene.columns or WIDTH,
        summary.card_busy_share,
        summary.tiles_per_second,
        summary.inference_seconds,
        cadence_jitter_ms(readings.pauses_ns, batch) if readings.pauses_ns else None,
    )


def scene_in_memory(columns: int) -> ArrayScene:
    """A full scene without no data, in panels of so many columns; content plays no part."""
    block = np.random.default_rng(0).integers(1000, 9000, (4, 1098, 1098), dtype=np.uint16)
    return ArrayScene(scene_metadata(WIDTH, WIDTH), np.tile(block, (1, 1, 10)), columns)


@dataclass(frozen=True)
class SimulatorOverhead:
    """Milliseconds a tile, medians over rounds that alternate between the two."""

    openvino_ms: float
    simulator_ms: float

    @property
    def ratio(self) -> float:
        """Simulator over OpenVINO."""
        return self.simulator_ms / self.openvino_ms


def simulator_against_openvino(package: ModelPackage, threads: int = 2) -> SimulatorOverhead:
    """Run the same INT8 graph with the same threads, bare and as a card."""
    tiles = package.golden_tiles().tiles
    bare = _bare_openvino(package, threads)
    bare_rounds, card_rounds = [], []
    settings = DimcSettings(card="simulator", double_buffer=False, threads=threads)
    with open_dimc_engine(package, settings) as engine:
        for _ in range(_ROUNDS):
            started = time.perf_counter()
            for number in range(_TILES_A_ROUND):
                bare.infer({0: tiles[number % len(tiles)][None]})
            middle = time.perf_counter()
            for number in range(_TILES_A_ROUND):
                engine.infer(tiles[number % len(tiles)][None])
            bare_rounds.append(middle - started)
            card_rounds.append(time.perf_counter() - middle)
    scale = 1000 / _TILES_A_ROUND
    return SimulatorOverhead(median(bare_rounds) * scale, median(card_rounds) * scale)


def _bare_openvino(package: ModelPackage, threads: int) -> Any:
    core = load_openvino().Core()
    graph = core.read_model(package.compiled_model("spatial") / "quantized_model.onnx")
    graph.reshape([1, package.tile_size, package.tile_size, len(package.bands)])
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    return core.compile_model(graph, "CPU", options).create_infer_request()
