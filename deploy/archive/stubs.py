"""``python -m deploy.archive.stubs``: very many scenes that cost nothing, to measure what they do.

A stub scene is an address that nobody opens.  All else is real: Dask, records on the disk, table
and catalogue.  The limit: nothing is decoded, so workers need less memory than with scenes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

import psutil

from flightsw.archive.answer import Answer
from flightsw.archive.cluster import local_cluster
from flightsw.archive.plan import empty_plan
from flightsw.archive.reprocess import RunTotals, reprocess
from flightsw.archive.run_order import RunOrder, make_order
from flightsw.archive.work import Chain
from flightsw.chain import ProcessedScene, SceneRequest
from flightsw.config import Settings
from flightsw.engines.engine import EngineInfo
from flightsw.host.location import name_of
from flightsw.model.package import load_package
from flightsw.products.contents import SceneSummary
from flightsw.products.kinds import ProductContext
from flightsw.products.product_set import PublishedProducts
from flightsw.products.report import FileRecord, make_report
from flightsw.scene.scene import SceneMetadata

_SIDE: Final = 10_980
_FIRST: Final = datetime(2016, 1, 1, tzinfo=timezone.utc)
_TILES: Final = 400
_ITEM: Final = "stub_stac.json"


class StubChain:
    """Answers each scene immediately, with figures that depend on its name; writes one file.

    ``seconds`` of each scene are spent waiting.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        package = load_package()
        self._seconds = seconds
        self._engine = EngineInfo(
            name="stub",
            tag="stub",
            device="stub",
            precision="int8",
            batch=1,
            tile_size=package.tile_size,
            stride=210,
            bands=package.bands,
            classes=package.classes,
            model_id=package.model_id,
        )

    def process(self, request: SceneRequest) -> ProcessedScene:
        """Write the file that stands for the products."""
        if self._seconds:
            time.sleep(self._seconds)
        name = name_of(str(request.scene))
        (request.out / _ITEM).write_text(json.dumps({"id": name}))
        scene, summary = _metadata(name), _summary(name)
        files = (FileRecord("stac", _ITEM, len(name) + 10, "0" * 64),)
        report = make_report(scene, _context(self._engine), summary, files, ())
        return ProcessedScene(
            scene, self._engine, summary, PublishedProducts(request.out, files, report)
        )


def open_stub(order: RunOrder, held: ExitStack) -> Chain:
    """Opens the chain of a worker that computes stub scenes."""
    del order, held
    return StubChain()


def open_slow_stub(order: RunOrder, held: ExitStack) -> Chain:
    """Likewise, each scene takes a while, so that a process can be killed within one."""
    del order, held
    return StubChain(seconds=0.2)


def stub_scene(number: int) -> str:
    """The address of a stub scene."""
    return f"s3://stub/scene_{number:07d}.json"


class DriverMemoryWatch:
    """Counts answers, and notes what the driver holds in memory meanwhile."""

    def __init__(self) -> None:
        self.answers = 0
        self.largest = 0
        self.course: list[tuple[int, int]] = []
        self._process = psutil.Process()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def done(self, answer: Answer) -> None:
        """Count an answer."""
        del answer
        self.answers += 1

    def warn(self, line: str) -> None:
        """Print a warning."""
        print(line, file=sys.stderr)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at the memory once a second."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join(10)

    def _watch(self) -> None:
        while not self._stop.wait(1.0):
            held = self._process.memory_info().rss
            self.largest = max(self.largest, held)
            self.course.append((self.answers, held))


def main() -> int:
    """Run and print one JSON object; 1 if a scene is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scenes", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--slow", action="store_true", help="each scene takes 0.2 s")
    arguments = parser.parse_args()
    order = make_order(Settings(), arguments.out, ("stac",))
    watched, began = DriverMemoryWatch(), time.monotonic()
    with empty_plan() as plan, watched.watching():
        plan.add(map(stub_scene, range(arguments.scenes)))
        totals = reprocess(
            plan,
            order,
            lambda: local_cluster(arguments.workers, "2GiB"),
            watched,
            open_chain=open_slow_stub if arguments.slow else open_stub,
        )
    print(json.dumps(_result(totals, watched, time.monotonic() - began)))
    return int(totals.scenes != arguments.scenes)


def _result(totals: RunTotals, watched: DriverMemoryWatch, seconds: float) -> dict[str, Any]:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    step = max(1, len(watched.course) // 10)
    return {
        "pid": os.getpid(),
        "scenes": totals.scenes,
        "computed": totals.computed,
        "recorded": totals.recorded,
        "failed": totals.failed,
        "seconds": round(seconds, 1),
        "driver_peak_mb": round(watched.largest / 1e6),
        "driver_mb_by_answers": [(n, round(held / 1e6)) for n, held in watched.course[::step]],
        "driver_cpu_seconds": round(used[0].ru_utime + used[0].ru_stime, 1),
        "worker_cpu_seconds": round(used[1].ru_utime + used[1].ru_stime, 1),
    }


def _metadata(name: str) -> SceneMetadata:
    number = int(name.rpartition("_")[2])
    letters = "ABCDEFGHJKLMNPQRSTUV"
    tile = f"T32T{letters[number % 20]}{letters[number // 20 % 20]}"
    bands = ("B02", "B03", "B04", "B08")
    return SceneMetadata(
        name=name,
        tile_id=tile,
        level="L2A",
        baseline="05.10",
        bands=bands,
        offsets=dict.fromkeys(bands, -1000),
        quantification=10_000.0,
        height=_SIDE,
        width=_SIDE,
        ground_sample_distance=10,
        sensed_at=_FIRST + timedelta(days=number // _TILES % 3000),
        platform="Sentinel-2A",
    )


def _summary(name: str) -> SceneSummary:
    cloud = hash(name) % 1000 * 100_000
    return SceneSummary(
        valid_pixels=_SIDE * _SIDE,
        no_data_pixels=0,
        pixels_by_class={"clear": _SIDE * _SIDE - cloud, "contaminated": cloud},
        tiles=2809,
        tiles_without_data=0,
        fusion="or",
        seconds=0.0,
        inference_seconds=0.0,
        stages={},
    )


def _context(engine: EngineInfo) -> ProductContext:
    return ProductContext(
        tag=engine.tag,
        engine=engine.name,
        device=engine.device,
        precision=engine.precision,
        model_id=engine.model_id,
        classes=engine.classes,
        fusion="or",
        software_version="",
    )


if __name__ == "__main__":
    sys.exit(main())
