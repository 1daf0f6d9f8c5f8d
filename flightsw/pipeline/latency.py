"""Latencies of each tile in each stage, and their statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from flightsw.products.contents import StageTiming

Stage = Literal["preparation", "accelerator", "fusion"]

STAGES: Final[Mapping[Stage, str]] = {
    "preparation": "slicing and INT8 quantisation until the tile is ready",
    "accelerator": "entry of the card's run to its return",
    "fusion": "logits to mask updated",
}
"""The reference benchmark's stages and where each begins and ends."""

_NS_PER_MS: Final = 1e6


class LatencyRecord:
    """Nanoseconds a tile of each stage.  Each stage is written by one thread only."""

    def __init__(self) -> None:
        self._nanoseconds: dict[Stage, list[int]] = {stage: [] for stage in STAGES}

    def add(self, stage: Stage, nanoseconds: int, tiles: int = 1) -> None:
        """Record a stage's duration for a batch: each of its tiles is charged an equal part."""
        self._nanoseconds[stage].extend([nanoseconds // tiles] * tiles)

    def timings(self) -> dict[str, StageTiming]:
        """Statistics of each stage that has seen a tile."""
        return {
            stage: stage_timing(np.array(values, dtype=np.int64))
            for stage, values in self._nanoseconds.items()
            if values
        }


def stage_timing(nanoseconds: NDArray[np.int64]) -> StageTiming:
    """Mean, percentiles (linear interpolation), population sigma and maximum, in milliseconds."""
    milliseconds = nanoseconds / _NS_PER_MS
    p50, p95, p99 = np.percentile(milliseconds, (50, 95, 99))
    return StageTiming(
        count=len(milliseconds),
        mean=float(milliseconds.mean()),
        p50=float(p50),
        p95=float(p95),
        p99=float(p99),
        sigma=float(milliseconds.std()),
        max=float(milliseconds.max()),
    )
