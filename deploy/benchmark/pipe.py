"""Scenes in a row, each begun while the one before is computed, against the slower of their stages.

``python -m deploy.benchmark.pipe SCENE OUT LATENCY_MS ROUNDS``: ten times the same scene in one
process, so many times; prints one JSON object.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import Final

import msgspec

from flightsw.bench.peers import band_images, decode_strips
from flightsw.chain import SceneProcessor, SceneRequest, open_chain
from flightsw.config import DimcSettings, Settings, TwinSettings

SCENES: Final = 10
ROUNDS: Final = {0.94: 5, 16.0: 3}
"""By latency (ms): the reference's card waits for the decoder, the other keeps it waiting."""

_DECODED: Final = 2
"""Scenes that are decoded alone, once before the others and once after them."""
_PRODUCTS: Final = frozenset({"mask", "geotiff", "report"})
_LIMIT_SECONDS: Final = 7200


class PipeRound(msgspec.Struct, frozen=True):
    """Ten scenes decoded and nothing else, in the card, and from end to end; with CPU seconds.

    ``share`` is the slower stage's time over that of the whole: 1 where nothing else costs time.
    """

    decode_seconds: float
    decode_cpu_seconds: float
    card_seconds: float
    seconds: float
    cpu_seconds: float

    @property
    def share(self) -> float:
        """What the slower stage alone would take, over what the whole takes."""
        return max(self.decode_seconds, self.card_seconds) / self.seconds


class FilledPipe(msgspec.Struct, frozen=True):
    """Rounds at one latency of the card."""

    latency_ms: float
    rounds: tuple[PipeRound, ...]


def measure_pipe(scene: Path, latency_ms: float, rounds: int) -> FilledPipe:
    """Run the rounds in a process of their own."""
    with tempfile.TemporaryDirectory(dir=scene.parent) as out:
        told = [str(scene), out, str(latency_ms), str(rounds)]
        done = subprocess.run(
            [sys.executable, "-m", "deploy.benchmark.pipe", *told],
            check=True,
            capture_output=True,
            timeout=_LIMIT_SECONDS,
        )
    return msgspec.json.decode(done.stdout, type=FilledPipe)


def _fill(scene: Path, out: Path, latency_ms: float, rounds: int) -> FilledPipe:
    twin = TwinSettings(latency_ms, compute=False)
    settings = Settings(engines=("dimc",), dimc=DimcSettings(card="simulator", twin=twin))
    with open_chain(settings) as chain:
        chain.process(SceneRequest(scene, out, _PRODUCTS))  # warms up
        return FilledPipe(latency_ms, tuple(_round(chain, scene, out) for _ in range(rounds)))


def _round(chain: SceneProcessor, scene: Path, out: Path) -> PipeRound:
    """Bare decodes before and after, so that a slow minute of the machine hits both alike."""
    before, cpu_before = _decoding(scene)
    busy_ns, started, cpu_started = _busy_ns(chain), perf_counter(), process_time()
    waiting = [SceneRequest(scene, out, _PRODUCTS) for _ in range(SCENES)]
    while waiting:
        chain.process(waiting.pop(), upcoming=lambda: waiting[-1] if waiting else None)
    seconds, cpu_seconds = perf_counter() - started, process_time() - cpu_started
    card_seconds = (_busy_ns(chain) - busy_ns) / 1e9
    after, cpu_after = _decoding(scene)
    return PipeRound(
        decode_seconds=(before + after) / 2,
        decode_cpu_seconds=(cpu_before + cpu_after) / 2,
        card_seconds=card_seconds,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
    )


def _busy_ns(chain: SceneProcessor) -> int:
    readings = chain.readings
    return 0 if readings is None else readings.busy_ns


def _decoding(scene: Path) -> tuple[float, float]:
    """Seconds and CPU seconds of all scenes' bare decode."""
    started, cpu_started = perf_counter(), process_time()
    decode_strips(band_images(scene, 10), _DECODED)
    times = SCENES / _DECODED
    return (perf_counter() - started) * times, (process_time() - cpu_started) * times


def main() -> None:
    """Run the scenes that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("latency_ms", type=float)
    parser.add_argument("rounds", type=int)
    told = parser.parse_args()
    filled = _fill(told.scene, told.out, told.latency_ms, told.rounds)
    print(msgspec.json.encode(filled).decode())


if __name__ == "__main__":
    main()
