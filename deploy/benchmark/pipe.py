"""Scenes in a row, each begun while the one before is computed, against the slower of their stages.

``python -m deploy.benchmark.pipe SCENE OUT LATENCY_MS``: ten times the same scene in one process;
prints one JSON object.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec

from flightsw.bench.peers import band_images, decode_strips
from flightsw.chain import ProcessingChain, SceneRequest, open_chain
from flightsw.config import DimcSettings, Settings, TwinSettings

SCENES: Final = 10
LATENCIES_MS: Final = (0.94, 16.0)
"""Of the reference's card, which waits for the decoder, and of a card that keeps it waiting."""

_DECODED: Final = 2
"""Scenes that are decoded alone, once before the others and once after them."""
_PRODUCTS: Final = frozenset({"mask", "geotiff", "report"})
_LIMIT_SECONDS: Final = 7200


class FilledPipe(msgspec.Struct, frozen=True):
    """Seconds of ten scenes: decoded and nothing else, in the card, and from end to end.

    ``share`` is the slower stage's time over that of the whole: 1 where nothing else costs time.
    """

    latency_ms: float
    decode_seconds: float
    card_seconds: float
    seconds: float

    @property
    def share(self) -> float:
        """What the slower stage alone would take, over what the whole takes."""
        return max(self.decode_seconds, self.card_seconds) / self.seconds


def measure_pipe(scene: Path, latency_ms: float) -> FilledPipe:
    """Run ten scenes in a process of their own."""
    with tempfile.TemporaryDirectory(dir=scene.parent) as out:
        done = subprocess.run(
            [sys.executable, "-m", "deploy.benchmark.pipe", str(scene), out, str(latency_ms)],
            check=True,
            capture_output=True,
            timeout=_LIMIT_SECONDS,
        )
    return msgspec.json.decode(done.stdout, type=FilledPipe)


def _fill(scene: Path, out: Path, latency_ms: float) -> FilledPipe:
    """Bare decodes before and after, so that a slow minute of the machine hits both alike."""
    twin = TwinSettings(latency_ms, compute=False)
    settings = Settings(engines=("dimc",), dimc=DimcSettings(card="simulator", twin=twin))
    waiting = [SceneRequest(scene, out, _PRODUCTS) for _ in range(SCENES)]
    with open_chain(settings) as chain:
        chain.process(waiting[0])  # warms up
        before = _decode_seconds(scene)
        busy_ns, started = _busy_ns(chain), time.perf_counter()
        while waiting:
            chain.process(waiting.pop(), upcoming=lambda: waiting[-1] if waiting else None)
        seconds = time.perf_counter() - started
        card_seconds = (_busy_ns(chain) - busy_ns) / 1e9
        after = _decode_seconds(scene)
    return FilledPipe(latency_ms, (before + after) / 2, card_seconds, seconds)


def _busy_ns(chain: ProcessingChain) -> int:
    readings = chain.readings
    return 0 if readings is None else readings.busy_ns


def _decode_seconds(scene: Path) -> float:
    """Seconds of all scenes' bare decode."""
    started = time.perf_counter()
    decode_strips(band_images(scene, 10), _DECODED)
    return (time.perf_counter() - started) * SCENES / _DECODED


def main() -> None:
    """Run the scenes that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("latency_ms", type=float)
    told = parser.parse_args()
    print(msgspec.json.encode(_fill(told.scene, told.out, told.latency_ms)).decode())


if __name__ == "__main__":
    main()
