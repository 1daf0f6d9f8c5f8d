"""From nanoseconds of single tiles to the figures of the tables.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flightsw.pipeline.latency import stage_timing
from flightsw.products.contents import StageTiming

Nanoseconds: TypeAlias = NDArray[np.int64]
"""int64 ``(tiles,)``, a tile's share of the call that it was in."""

TILE: Final = "tile"
"""The sum of a tile's stages, beside them."""

_NS_PER_MS: Final = 1e6


def timings(samples: Mapping[str, Sequence[int]]) -> dict[str, StageTiming]:
    """Milliseconds of each stage and of the whole tile, from ns by stage, one a tile."""
    if not samples or not all(samples.values()):
        return {}
    stages = {name: np.asarray(values, dtype=np.int64) for name, values in samples.items()}
    total = np.sum(list(stages.values()), axis=0)
    return {name: stage_timing(values) for name, values in (stages | {TILE: total}).items()}


def timing_figures(stages: Mapping[str, StageTiming], batch: int) -> dict[str, float]:
    """The timings by the report's keys, ``accelerator_p95`` and so on, in milliseconds.

    All tiles of a call are charged alike, so its sigma is ``batch`` times that of its tiles.
    """
    kinds = ("mean", "p50", "p95", "p99", "sigma", "max")
    found = {
        f"{stage}_{kind}": float(getattr(timing, kind))
        for stage, timing in stages.items()
        for kind in kinds
    }
    if "accelerator" in stages:
        found["call_sigma"] = stages["accelerator"].sigma * batch
    return found


def transfer_split(accelerator_ns: int, busy_ns: int, tiles: int) -> dict[str, float]:
    """Milliseconds a tile in which the card computed, and the rest of the calls.

    The rest is transfers and the runtime's own time; a host sees them only together.
    """
    return {
        "compute_mean": busy_ns / tiles / _NS_PER_MS,
        "transfer_mean": (accelerator_ns - busy_ns) / tiles / _NS_PER_MS,
    }


def added_jitter_ms(measured_ns: Nanoseconds, drawn_ns: Nanoseconds) -> float:
    """Sigma, in ms, of what the software added to each tile's latency in the twin.

    Constant parts, such as transfers, do not count.
    """
    return float(np.std(measured_ns - drawn_ns)) / _NS_PER_MS


def cadence_jitter_ms(pauses_ns: Sequence[int], batch: int) -> float:
    """Sigma, in ms, of what the software added to each tile's share of the card's cadence.

    A card that always has its next frame takes each as long as it computes; a pause before it is
    the software's, shared equally by the ``batch`` tiles of the frame.
    """
    return float(np.std(pauses_ns)) / batch / _NS_PER_MS


def energy_figures(joules: float, seconds: float, tiles: float, scenes: float) -> dict[str, float]:
    """Mean power (W), energy a tile (mJ) and of a reference scene (J), of ``scenes`` of them."""
    return {
        "inference_power": joules / seconds,
        "tile_energy": joules / tiles * 1e3,
        "scene_energy": joules / scenes,
    }
