"""The whole benchmark, engine after engine; the results are on disk after each."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from time import perf_counter
from typing import Final

from msgspec.structs import replace

from flightsw import __version__
from flightsw.bench.agreement import GoldenAgreement
from flightsw.bench.folder import write_results
from flightsw.bench.machine import describe_machine
from flightsw.bench.protocol import Bench, ProgressCallback, measure
from flightsw.bench.results import BenchResult, EngineResult, Protocol
from flightsw.bench.scene import read_scene, reference_scenes, simulated_scene
from flightsw.bench.subjects import Subject, subjects
from flightsw.chain import SceneRequest, open_chain, tune_interpreter
from flightsw.comparison.figures import compare
from flightsw.config import Settings
from flightsw.errors import FlightError, UsageError
from flightsw.model.package import ModelPackage, load_package
from flightsw.products.mask_file import open_mask
from flightsw.scene import open_scene
from flightsw.scene.array_scene import ArrayScene
from telecommands.dictionary import EngineName

_PRODUCTS: Final = frozenset({"mask", "fill", "quicklook"})
"""Those of the reference: mask, cloud fill, visualisation."""


@dataclass(frozen=True)
class BenchRequest:
    """What to measure: engines, protocol, a scene on disk (None: golden tiles)."""

    out: Path
    engines: Sequence[EngineName]
    protocol: Protocol = field(default_factory=Protocol)
    scene: Path | None = None
    truth: Path | None = None
    baseline: bool = False


def run_bench(request: BenchRequest, settings: Settings, progress: ProgressCallback) -> BenchResult:
    """Measure what was asked for.

    Engines that cannot run become rows that say why.  If the run ends early, by an interrupt for
    example, the results so far stay in the folder, marked as partial.
    Raises :class:`UsageError`, a :class:`~flightsw.errors.SceneError`, a
    :class:`~flightsw.errors.ModelError`, or :class:`OutputNotWritable`.
    """
    tune_interpreter()
    package = load_package(settings.model)
    _check(request)
    rows = subjects(request.engines, settings, baseline=request.baseline)
    result = BenchResult(
        partial=True,
        started_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        machine=describe_machine(),
        software_version=__version__,
        model_id=package.model_id,
        scene=str(request.scene) if request.scene else "the package's golden tiles, in memory",
        protocol=request.protocol,
        planned=tuple(subject.title for subject in rows),
    )
    write_results(request.out, result)
    scene, decoded_in = _scene(request, package, settings)
    bench = Bench(package, scene, request.protocol, GoldenAgreement(package, settings), progress)
    for subject in rows:
        row = _row(subject, bench, request)
        if decoded_in is not None and row.absent is None:
            row = replace(row, figures=row.figures | {"decode": decoded_in})
        result = replace(result, engines=(*result.engines, row))
        write_results(request.out, result)
    return write_results(request.out, replace(result, partial=False))


def _row(subject: Subject, bench: Bench, request: BenchRequest) -> EngineResult:
    try:
        row = measure(subject, bench)
    except FlightError as error:
        bench.progress(subject.title, 0, 1)  # raises if an interrupt caused the error
        return EngineResult(
            title=subject.title,
            engine=subject.engine,
            settings=subject.description,
            absent=_line(error),
        )
    if request.scene is None:
        return row
    bench.progress(f"{subject.title}: whole chain", 0, 1)
    try:
        figures = _whole_chain(subject, bench.package, request.scene, request.truth, request.out)
    except FlightError as error:
        return replace(row, notes=(*row.notes, f"whole chain: {_line(error)}"))
    return replace(row, figures=row.figures | figures)


def _whole_chain(
    subject: Subject, package: ModelPackage, scene: Path, truth: Path | None, work: Path
) -> dict[str, float]:
    """Seconds a scene of the reference's size and, with a truth, the F2 of the mask.

    Temporary files go to ``work``.  Raises a :class:`~flightsw.errors.FlightError`.
    """
    settings = replace(subject.settings, engines=(subject.engine,))
    with tempfile.TemporaryDirectory(dir=work) as folder, open_chain(settings) as chain:
        started = perf_counter()
        processed = chain.process(SceneRequest(scene, Path(folder), _PRODUCTS))
        seconds = perf_counter() - started
        figures = {"total": seconds / reference_scenes(processed.scene, package)}
        if truth and subject.computes:
            with open_mask(truth) as true, open_mask(processed.products.paths("mask")[0]) as mask:
                f2 = compare(true, mask).f2
            if f2 is not None:
                figures["f2"] = f2
    return figures


def _scene(
    request: BenchRequest, package: ModelPackage, settings: Settings
) -> tuple[ArrayScene, float | None]:
    """The scene of the tiles, and the decoding time in seconds if all of it was decoded."""
    tiles = request.protocol.tiles
    if request.scene is None:
        return simulated_scene(package, tiles), None
    whole = open_scene(request.scene, package.bands).metadata
    started = perf_counter()
    scene = read_scene(request.scene, package, tiles, settings.pipeline)
    seconds = perf_counter() - started
    if scene.digital_numbers.shape[1] < whole.height:
        return scene, None
    return scene, seconds / reference_scenes(whole, package)


def _check(request: BenchRequest) -> None:
    """Refuse immediately what would otherwise end the benchmark after an hour."""
    if request.truth and request.scene is None:
        raise UsageError("--truth", "needs a scene on disk", "Give --scene as well")
    if request.truth and not request.truth.is_file():
        raise UsageError(
            request.truth, "is not a file", "Give the scene's true mask (.npy or GeoTIFF)"
        )


def _line(error: FlightError) -> str:
    return " ".join(str(error).split())
