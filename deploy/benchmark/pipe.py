"""Scenes in a row, each begun while the one before is computed, against their slower stage."""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Final

from deploy.benchmark.alone import run_alone
from deploy.benchmark.decode import band_images, decode_strips
from deploy.benchmark.scaling import simulated
from deploy.benchmark.scenario import MASK, simulator
from flightsw.chain import SceneProcessor, SceneRequest, open_chain
from flightsw.config import TwinSettings

SCENES: Final = 10
_ROUNDS: Final = {0.94: 5, 16.0: 3}
"""By latency (ms): the reference's card waits for the decoder, the other keeps it waiting."""
_DECODED: Final = 2
"""Scenes that are decoded alone, once before the others and once after them."""


def measure_pipe(work: Path, size: int) -> dict[str, Any]:
    """Rounds at each latency of the card; see :func:`fill_pipe`."""
    scene = simulated(work / f"scene_{size}", size)
    rows = [
        one
        for latency_ms, rounds in _ROUNDS.items()
        for one in run_alone(fill_pipe, scene, latency_ms, rounds)
    ]
    return {"size": size, "rounds": rows}


def fill_pipe(scene: Path, latency_ms: float, rounds: int) -> list[dict[str, float]]:
    """Ten scenes decoded and nothing else, in the card, and from end to end; with CPU seconds.

    ``share`` is the slower stage's time over that of the whole: 1 if nothing else costs time.
    """
    settings = simulator(TwinSettings(latency_ms, compute=False))
    with tempfile.TemporaryDirectory(dir=scene.parent) as out, open_chain(settings) as chain:
        request = SceneRequest(scene, Path(out), MASK, overwrite=True)
        chain.process(request)  # warms up
        return [{"latency_ms": latency_ms} | _round(chain, scene, request) for _ in range(rounds)]


def _round(chain: SceneProcessor, scene: Path, request: SceneRequest) -> dict[str, float]:
    """Bare decodes before and after, so that a slow minute of the machine affects both."""
    before, cpu_before = _decoding(scene)
    busy_ns, started, cpu_started = _busy_ns(chain), perf_counter(), process_time()
    waiting = [request] * SCENES
    while waiting:
        chain.process(waiting.pop(), upcoming=lambda: waiting[-1] if waiting else None)
    seconds, cpu_seconds = perf_counter() - started, process_time() - cpu_started
    card_seconds = (_busy_ns(chain) - busy_ns) / 1e9
    after, cpu_after = _decoding(scene)
    decode_seconds = (before + after) / 2
    return {
        "share": slower_share(decode_seconds, card_seconds, seconds),
        "decode_seconds": decode_seconds,
        "decode_cpu_seconds": (cpu_before + cpu_after) / 2,
        "card_seconds": card_seconds,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
    }


def slower_share(decode_seconds: float, card_seconds: float, seconds: float) -> float:
    """What the slower stage alone would take, over what the whole takes."""
    return max(decode_seconds, card_seconds) / seconds


def _busy_ns(chain: SceneProcessor) -> int:
    readings = chain.readings
    return 0 if readings is None else readings.busy_ns or 0


def _decoding(scene: Path) -> tuple[float, float]:
    """Seconds and CPU seconds of all scenes' bare decode."""
    started, cpu_started = perf_counter(), process_time()
    decode_strips(band_images(scene, 10), _DECODED)
    times = SCENES / _DECODED
    return (perf_counter() - started) * times, (process_time() - cpu_started) * times
