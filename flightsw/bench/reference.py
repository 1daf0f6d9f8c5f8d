"""The figures of the reference benchmark that this project reproduces.

Source: the D-IMC reference report.  Jetson Orin Nano Super 8 GB (MAXN Super, 25 W; JetPack 6.2.1,
CUDA 12.6, TensorRT 10.3, PyTorch 2.11) with the "Odin v0" D-IMC card (PCIe 3.0 x4, 4 cores), one
tile of 224 x 224 over four cores in INT8, and TensorRT in FP16 with batches of 8; 2,809 tiles of
one Sentinel-2 scene.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class ReferenceFigure:
    """One line of the report: ``key`` names it, None if the report has no figure."""

    section: str
    key: str
    quantity: str
    unit: str
    dimc: float | None = None
    tensorrt: float | None = None

    def of(self, engine: str) -> float | None:
        """The figure to compare an engine with: the card's, or TensorRT's for any other."""
        return self.dimc if engine == "dimc" else self.tensorrt


_SCENE: Final = "A scene of 2,809 tiles (others in proportion)"
_TILE: Final = "A tile, tile by tile (means)"
_ACCELERATOR: Final = "Accelerator latency and jitter, tile by tile"
_TOTAL: Final = "A tile from slice to mask, tile by tile"
_FLIGHT: Final = "As in flight: the pipeline's own threads, strips from memory"
_ACCURACY: Final = "Accuracy"
_POWER: Final = "Power, energy, temperature"

REFERENCE: Final = (
    ReferenceFigure(_SCENE, "decode", "JP2 load, 4 bands", "s", 20.87, 20.88),
    ReferenceFigure(_SCENE, "set_up", "model load or engine set-up", "s", 1.50, 0.98),
    ReferenceFigure(_SCENE, "inference", "inference of the scene's tiles", "s", 4.2, 2.6),
    ReferenceFigure(_SCENE, "inference_earlier", "its earlier run", "s", 29.88, 9.02),
    ReferenceFigure(_SCENE, "cloud_fill", "cloud fill", "s", 0.48, 0.29),
    ReferenceFigure(_SCENE, "visualisation", "visualisation", "s", 1.08, 1.05),
    ReferenceFigure(_SCENE, "saving", "saving", "s", 2.85, 3.12),
    ReferenceFigure(_SCENE, "total", "total, with the earlier run", "s", 57.14, 35.73),
    ReferenceFigure(_TILE, "preparation_mean", "preprocessing: slice to tile ready", "ms", 0.34),
    ReferenceFigure(_TILE, "transfer_mean", "transfers (0.06 in, 0.05 out)", "ms", 0.11),
    ReferenceFigure(_TILE, "compute_mean", "inference without transfers", "ms", 0.94),
    ReferenceFigure(_TILE, "fusion_mean", "postprocessing: logits to mask updated", "ms", 0.11),
    ReferenceFigure(_TILE, "tile_mean", "total", "ms", 1.50),
    ReferenceFigure(_ACCELERATOR, "accelerator_mean", "mean", "ms", 0.94),
    ReferenceFigure(_ACCELERATOR, "accelerator_p50", "P50", "ms", 0.89),
    ReferenceFigure(_ACCELERATOR, "accelerator_p95", "P95", "ms", 1.38),
    ReferenceFigure(_ACCELERATOR, "accelerator_p99", "P99", "ms", 1.72),
    ReferenceFigure(_ACCELERATOR, "accelerator_sigma", "jitter: sigma a tile", "ms", 0.21),
    ReferenceFigure(_ACCELERATOR, "accelerator_max", "max", "ms", 2.04),
    ReferenceFigure(_ACCELERATOR, "call_sigma", "jitter: sigma a batch", "ms", 0.21, 1.87),
    ReferenceFigure(
        _ACCELERATOR, "added_jitter", "jitter added by the software: sigma (budget 0.05)", "ms"
    ),
    ReferenceFigure(_TOTAL, "tile_p50", "P50", "ms", 1.43),
    ReferenceFigure(_TOTAL, "tile_p95", "P95", "ms", 2.01),
    ReferenceFigure(_TOTAL, "tile_p99", "P99", "ms", 2.38),
    ReferenceFigure(_TOTAL, "tile_sigma", "sigma", "ms", 0.24),
    ReferenceFigure(_TOTAL, "tile_max", "max", "ms", 2.71),
    ReferenceFigure(_FLIGHT, "throughput", "tiles over inference wall time", "tiles/s", 669, 1081),
    ReferenceFigure(_FLIGHT, "busy_share", "accelerator busy", "%"),
    ReferenceFigure(
        _FLIGHT, "cadence_jitter", "jitter added by the software: sigma (budget 0.05)", "ms"
    ),
    ReferenceFigure(_ACCURACY, "agreement", "pixel agreement with FP32", "%", 97.8, 99.3),
    ReferenceFigure(_ACCURACY, "f2", "F2 against the truth (FP32: 0.81)", "", 0.79, 0.81),
    ReferenceFigure(_POWER, "idle_power", "idle", "W", 4.4, 4.1),
    ReferenceFigure(_POWER, "inference_power", "inference", "W", 10.1, 14.4),
    ReferenceFigure(_POWER, "tile_energy", "energy a tile", "mJ", 15.1, 13.3),
    ReferenceFigure(_POWER, "scene_energy", "energy of 2,809 tiles", "J", 42.4, 37.4),
    ReferenceFigure(_POWER, "start_temperature", "temperature at the start", "°C", 39),
    ReferenceFigure(_POWER, "end_temperature", "temperature in equilibrium", "°C", 51),
)
"""In the order of the report."""

REFERENCE_TILES: Final = 2809
