"""The card: how busy the twin is kept, and what the simulator adds to OpenVINO."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from deploy.benchmark.decode import BANDS
from flightsw.bench.statistics import cadence_jitter_ms
from flightsw.chain import tune_interpreter
from flightsw.config import DimcSettings, PipelineSettings, TwinSettings
from flightsw.dimc.simulator.int8_graph import exact_arithmetic, load_openvino
from flightsw.engines.dimc.engine import open_dimc_engine
from flightsw.model.package import ModelPackage
from flightsw.pipeline import process_scene
from flightsw.scene.array_scene import USUAL_OFFSET, ArrayScene
from flightsw.scene.strips import COLUMNS_WANTED

_Arrangement: TypeAlias = Literal["spatial", "batch", "instances"]

_WIDTH: Final = 10_980  # rows and columns of a full scene

_CARDS: Final[tuple[tuple[float, _Arrangement], ...]] = (
    (0.94, "spatial"),
    (0.47, "spatial"),
    (0.47, "batch"),
    (0.47, "instances"),
)
_CARD_ROUNDS: Final = 7
_ROUNDS: Final = 9
_TILES_A_ROUND: Final = 40
_THREADS: Final = 2  # of the simulator


def measure_card(package: ModelPackage) -> dict[str, Any]:
    """Each twin on a full scene in panels of 2,048 columns and over the whole width, in turn."""
    scenes = [_scene_in_memory(columns) for columns in (COLUMNS_WANTED, _WIDTH)]
    _keep_busy(package, 0.47, "batch", scenes[0])  # warms up; not measured
    busy = [
        _keep_busy(package, latency, arrangement, scene)
        for _ in range(_CARD_ROUNDS)  # a slow moment of the machine affects all of them
        for latency, arrangement in _CARDS
        for scene in scenes
    ]
    return {"busy": busy, "overhead": _simulator_against_openvino(package)}


def _keep_busy(
    package: ModelPackage, latency_ms: float, arrangement: _Arrangement, scene: ArrayScene
) -> dict[str, Any]:
    """Process strips that are decoded already; the card should never wait.

    ``added_jitter_ms`` exists for a single instance: see
    :func:`~flightsw.bench.statistics.cadence_jitter_ms`.
    """
    twin = TwinSettings(latency_ms=latency_ms, compute=False)
    card = DimcSettings(card="simulator", arrangement=arrangement, twin=twin)
    tune_interpreter()
    with open_dimc_engine(package, card) as engine:
        summary = process_scene(scene, engine, PipelineSettings())
        readings, batch = engine.readings(), engine.info.batch
    assert readings is not None
    pauses_ns = readings.pauses_ns
    return {
        "latency_ms": latency_ms,
        "arrangement": arrangement,
        "columns": scene.columns or _WIDTH,
        "busy_share": summary.card_busy_share,
        "tiles_per_second": summary.tiles_per_second,
        "inference_seconds": summary.inference_seconds,
        "added_jitter_ms": cadence_jitter_ms(pauses_ns, batch) if pauses_ns else None,
    }


def _scene_in_memory(columns: int) -> ArrayScene:
    """A full scene without no-data pixels, in panels of ``columns``; its content is irrelevant."""
    block = np.random.default_rng(0).integers(1000, 9000, (4, 1098, 1098), dtype=np.uint16)
    scene = ArrayScene.from_digital_numbers(np.tile(block, (1, 1, 10)), BANDS, offset=USUAL_OFFSET)
    return replace(scene, metadata=replace(scene.metadata, height=_WIDTH), columns=columns)


def _simulator_against_openvino(package: ModelPackage) -> dict[str, float]:
    """The same INT8 graph with the same threads, bare and as a card, in alternating rounds.

    Milliseconds a tile, medians; ``ratio`` is simulator over OpenVINO.
    """
    tiles = package.golden_tiles().tiles
    bare = bare_openvino(package, _THREADS)
    bare_rounds, card_rounds = [], []
    settings = DimcSettings(card="simulator", double_buffer=False, threads=_THREADS)
    with open_dimc_engine(package, settings) as engine:
        for _ in range(_ROUNDS):
            started = time.perf_counter()
            for number in range(_TILES_A_ROUND):
                bare.infer({0: tiles[number % len(tiles)][None]})
            middle = time.perf_counter()
            for number in range(_TILES_A_ROUND):
                engine.infer(tiles[number % len(tiles)][None])
            bare_rounds.append(1000 * (middle - started) / _TILES_A_ROUND)
            card_rounds.append(1000 * (time.perf_counter() - middle) / _TILES_A_ROUND)
    openvino, simulator = median(bare_rounds), median(card_rounds)
    return {"openvino_ms": openvino, "simulator_ms": simulator, "ratio": simulator / openvino}


def bare_openvino(package: ModelPackage, threads: int) -> Any:
    """OpenVINO's request that infers one tile of the package's INT8 graph, and nothing else."""
    openvino = load_openvino()
    core = openvino.Core()
    graph = core.read_model(package.compiled_model("spatial") / "quantized_model.onnx")
    graph.reshape([1, package.tile_size, package.tile_size, len(package.bands)])
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    options |= exact_arithmetic(openvino)
    return core.compile_model(graph, "CPU", options).create_infer_request()
