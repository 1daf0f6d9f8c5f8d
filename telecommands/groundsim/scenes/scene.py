"""A simulated Sentinel-2 product of any size, with its true mask."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from telecommands.ground.errors import DiskFull, UsageError
from telecommands.groundsim.scenes.atmosphere import CLOUD_SHADOW, NO_DATA, THICK_CLOUD, THIN_CLOUD
from telecommands.groundsim.scenes.atomic_folder import hidden_folder, publish, refuse_existing
from telecommands.groundsim.scenes.fractal import Window
from telecommands.groundsim.scenes.generator import SceneGenerator, build_generator
from telecommands.groundsim.scenes.jp2_writer import CODINGS, TILE, BandWriter
from telecommands.groundsim.scenes.product_files import (
    SimulatedScene,
    band_place,
    write_metadata,
)
from telecommands.groundsim.scenes.product_names import (
    BANDS,
    COARSER_BANDS,
    BandChoice,
    Level,
    ProductName,
    name_product,
)
from telecommands.groundsim.scenes.radiometry import OFFSET

ProgressCallback = Callable[[int, int], None]
_Pixels = TypeVar("_Pixels")

_SMALLEST: Final = 64
_LARGEST: Final = 20_000


@dataclass(frozen=True)
class SceneRequest:
    """What to simulate, and the output folder ``out``.

    ``size`` is the side in pixels of 10 m; ``cloud_cover`` 0..1 of the pixels under thick or
    thin cloud (without shadows); ``bits`` the mean bits per pixel of the four bands at 10 m,
    the no-data corner included.  ``bands`` ``all`` adds the bands at 20 and 60 m at their own
    distances; the four bands and the truth stay the same.
    """

    out: Path
    size: int = 10_980
    seed: int = 0
    tile_id: str = "T32TQM"
    level: Level = "L2A"
    bands: BandChoice = "10m"
    baseline: str = "05.10"
    cloud_cover: float = 0.35
    no_data: bool = True
    bits: float = 7.0
    workers: int = 2
    force: bool = False


def simulate_scene(
    request: SceneRequest, progress: ProgressCallback = lambda _done, _of: None
) -> SimulatedScene:
    """Write ``<name>.SAFE`` and ``<name>_truth.npy`` (uint8 classes) into ``request.out``.

    Truth classes: 0 clear, 1 thick cloud, 2 thin cloud, 3 cloud shadow, 255 no
    data.  The same request gives the same pixels for any ``workers``; memory is a
    few tiles of 1024 x 1024.  ``progress`` is called with the number of tiles done and
    their total.  Raises :class:`UsageError` or :class:`~telecommands.ground.errors.ProductError`,
    and then leaves no files.
    """
    name = _checked(request)
    entries = (f"{name.product}_truth.npy", f"{name.product}.SAFE")
    refuse_existing(request.out, entries, force=request.force)
    with hidden_folder(request.out) as hidden:
        bands = name.bands(request.bands)
        _check_space(request, hidden, bands.values())
        generator, sun = build_generator(
            seed=request.seed,
            size=request.size,
            level=request.level,
            offset=OFFSET if name.has_offset else 0,
            cloud_cover=request.cloud_cover,
            edge=request.no_data,
            bits=request.bits,
        )
        product = hidden / entries[1]
        paths = [product / f"{name.image(band)}.jp2" for band in BANDS]
        place = band_place(name, request.size)
        counts = _write_pixels(request, generator, paths, place, hidden / entries[0], progress)
        for distance in sorted({*bands.values()} - {10}):
            _write_coarser(request, generator, name, product, distance)
        pixels = request.size**2
        valid = max(1, pixels - int(counts[NO_DATA]))
        cloud = int(counts[THICK_CLOUD] + counts[THIN_CLOUD])
        shadow = int(counts[CLOUD_SHADOW])
        coded = sum(path.stat().st_size for path in paths)
        scene = SimulatedScene(
            scene=request.out / entries[1],
            truth=request.out / entries[0],
            size=request.size,
            cloud_fraction=cloud / valid,
            shadow_fraction=shadow / valid,
            contaminated_fraction=(cloud + shadow) / valid,
            no_data_fraction=int(counts[NO_DATA]) / pixels,
            bits_per_pixel=coded * 8 / len(BANDS) / pixels,
            sun_azimuth=sun.azimuth,
            sun_zenith=sun.zenith,
        )
        write_metadata(product, name, scene, bands)
        tiles = len(_tiles(request.size))
        progress(tiles, tiles)  # the last point at which it can be interrupted
        publish(hidden, request.out, entries, force=request.force)
    return scene


def _checked(request: SceneRequest) -> ProductName:
    """Check the request; return the product's name."""
    limits = (
        ("size", request.size, _SMALLEST, _LARGEST),
        ("seed", request.seed, 0, 2**31 - 1),
        ("cloud cover", request.cloud_cover, 0, 1),
        ("bits", request.bits, 5.5, 8.5),
        ("workers", request.workers, 1, 64),
    )
    for what, value, least, most in limits:
        if not least <= value <= most:
            raise UsageError(what, f"must be from {least} to {most}, got {value}", "Correct it")
    return name_product(request.tile_id, request.level, request.baseline, request.seed)


def _check_space(request: SceneRequest, folder: Path, distances: Iterable[int]) -> None:
    shares = sum((10 / distance) ** 2 for distance in distances)
    needed = int(request.size**2 * (1 + 1.15 * shares * request.bits / 8))
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskFull(
            request.out,
            f"has {free / 1e6:.0f} MB free, but the product needs {needed / 1e6:.0f} MB",
            "Free space, or give another folder",
            free=free,
            needed=needed,
        )


def _write_pixels(
    request: SceneRequest,
    generator: SceneGenerator,
    paths: list[Path],
    place: str,
    truth_path: Path,
    progress: ProgressCallback,
) -> NDArray[np.int64]:
    """Write the bands and the truth; return the pixels of each class, int64 ``(256,)``."""
    paths[0].parent.mkdir(parents=True)
    truth = np.lib.format.open_memmap(
        truth_path, mode="w+", dtype=np.uint8, shape=(request.size, request.size)
    )
    counts = np.zeros(256, dtype=np.int64)
    windows = _tiles(request.size)
    writers = [BandWriter(path, request.size, place) for path in paths]
    pool = ThreadPoolExecutor(request.workers)
    try:
        for done, (window, (numbers, classes)) in enumerate(
            _in_order(pool, generator.render, windows, request.workers), start=1
        ):
            # The four bands are coded in parallel; each codes its tiles in order.
            for coded in [
                pool.submit(writer.write, band)
                for writer, band in zip(writers, numbers, strict=True)
            ]:
                coded.result()
            rows = slice(window.top, window.top + window.height)
            truth[rows, window.left : window.left + window.width] = classes
            counts += np.bincount(classes.ravel(), minlength=256)
            progress(done, len(windows))
    finally:
        pool.shutdown(cancel_futures=True)
    truth.flush()
    return counts


def _write_coarser(
    request: SceneRequest,
    generator: SceneGenerator,
    name: ProductName,
    product: Path,
    distance: int,
) -> None:
    """Write the bands that are measured at ``distance`` metres, tile by tile."""
    factor, coding = distance // 10, CODINGS[distance]
    size, place = -(-request.size // factor), band_place(name, request.size, distance)
    kept = name.bands("all")
    (product / name.image("", distance)).parent.mkdir(parents=True, exist_ok=True)
    writers = {
        number: BandWriter(product / f"{name.image(band, distance)}.jp2", size, place, coding)
        for number, band in enumerate(COARSER_BANDS[distance])
        if band in kept
    }
    pool = ThreadPoolExecutor(request.workers)
    try:
        render = partial(generator.render_coarser, distance=distance)
        for _, numbers in _in_order(pool, render, _tiles(size, coding.tile), request.workers):
            for coded in [
                pool.submit(writer.write, numbers[number]) for number, writer in writers.items()
            ]:
                coded.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(
    pool: Executor, render: Callable[[Window], _Pixels], windows: list[Window], ahead: int
) -> Iterator[tuple[Window, _Pixels]]:
    """Render windows in order, at most ``ahead`` windows in advance."""
    running: deque[tuple[Window, Future[_Pixels]]] = deque()
    for window in windows:
        running.append((window, pool.submit(render, window)))
        if len(running) > ahead:
            first, future = running.popleft()
            yield first, future.result()
    for first, future in running:
        yield first, future.result()


def _tiles(size: int, side: int = TILE) -> list[Window]:
    """The JPEG 2000 tiles of a band, row by row."""
    starts = range(0, size, side)
    return [
        Window(top, left, min(side, size - top), min(side, size - left))
        for top in starts
        for left in starts
    ]
