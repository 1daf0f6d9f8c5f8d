"""``python -m flightsw.bench.peers NAME SCENE``: other software on a scene, and ours beside it.

Each runs in a process of its own, so that one's memory is not another's, with a time limit.
What is timed begins with libraries and models loaded and ends with the mask (or, for a mere
decoder, the last pixel).  ``ukis-csmask`` (Apache-2.0, the optional extra ``[model]``) is loaded
nowhere but here.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from flightsw.bench.results import PeerResult, Usage
from flightsw.bench.usage import measure_usage
from flightsw.config import DimcSettings, Settings, TwinSettings
from flightsw.errors import EngineUnavailable, FlightError, UsageError
from flightsw.scene import open_scene
from flightsw.scene.band_files import choose_bands
from flightsw.scene.safe import find_product

THREADS: Final = 2
LIMIT_SECONDS: Final = 1800.0
OURS: Final = "flightsw-simulator"
"""What the others are held against."""

_BANDS: Final = ("B02", "B03", "B04", "B08")
_BAND_ORDER: Final = ("blue", "green", "red", "nir")
_STRIP_ROWS: Final = 1024
_MODULE: Final = "flightsw.bench.peers"


@dataclass(frozen=True)
class BandImages:
    """The four JPEG 2000 files of a product, and every how many pixels of them are wanted."""

    paths: tuple[Path, ...]
    step: int


_Work: TypeAlias = Callable[[], object]
_Prepare: TypeAlias = Callable[[Path, int, ExitStack], _Work]


@dataclass(frozen=True)
class _Peer:
    """``prepare`` loads what is needed and gives back the work to be timed."""

    title: str
    licence: str
    prepare: _Prepare


def run_peer(
    name: str, scene: Path, ground_sample_distance: int, limit_seconds: float = LIMIT_SECONDS
) -> PeerResult:
    """Run one of :data:`PEERS` on a SAFE product; one that cannot run says why."""
    told = PEERS[name]
    command = [sys.executable, "-m", _MODULE, name, str(scene), str(ground_sample_distance)]
    usage, absent = None, None
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=limit_seconds, check=False
        )
    except subprocess.TimeoutExpired:
        absent = f"did not end within {limit_seconds:g} s"
    else:
        if done.returncode == 0:
            usage = msgspec.json.decode(done.stdout.splitlines()[-1], type=Usage)
        else:
            absent = _why(done)
    return PeerResult(
        name=name,
        title=told.title,
        licence=told.licence,
        ground_sample_distance=ground_sample_distance,
        usage=usage,
        absent=absent,
    )


def band_images(scene: Path, ground_sample_distance: int) -> BandImages:
    """The files that a scene at this distance is decoded from.

    Raises :class:`~flightsw.errors.SceneError`, and :class:`UsageError` where it is no SAFE.
    """
    root = find_product(scene)
    granules = sorted(root.glob("GRANULE/*/IMG_DATA")) if root else []
    if not granules:
        raise UsageError(scene, "is no SAFE product", "Peers need the JPEG 2000 files of one")
    files = choose_bands(granules[0], _BANDS, ground_sample_distance)
    step = max(1, ground_sample_distance // files.distance)
    return BandImages(tuple(files.paths[band] for band in _BANDS), step)


def decode_strips(images: BandImages, times: int = 1) -> None:
    """Decode by strips with plain glymur and nothing else; what is decoded is dropped at once.

    The threads never wait for each other.
    """
    import glymur  # noqa: PLC0415 - only in the process of a decoder

    height = glymur.Jp2k(images.paths[0]).shape[0]

    def decode(path: Path, top: int) -> None:
        bottom = min(top + _STRIP_ROWS, height)
        glymur.Jp2k(path)[top : bottom : images.step, :: images.step]

    with ThreadPoolExecutor(THREADS) as threads:
        tasks = [
            threads.submit(decode, path, top)
            for _ in range(times)
            for top in range(0, height, _STRIP_ROWS)
            for path in images.paths
        ]
        for task in tasks:
            task.result(timeout=LIMIT_SECONDS)


def _glymur(scene: Path, distance: int, _: ExitStack) -> _Work:
    images = band_images(scene, distance)
    return lambda: decode_strips(images)


def _rasterio(scene: Path, distance: int, _: ExitStack) -> _Work:
    images = band_images(scene, distance)
    return lambda: _read_whole_bands(images)


def _csmask(scene: Path, distance: int, _: ExitStack) -> _Work:
    try:
        mask = importlib.import_module("ukis_csmask.mask")
    except ImportError as error:
        raise EngineUnavailable(
            "ukis-csmask", f"is not installed ({error})", "pip install flightsw[model]"
        ) from error
    images, told = band_images(scene, distance), open_scene(scene, _BANDS, distance).metadata

    def work() -> Any:
        planes = _read_whole_bands(images)
        reflectance = np.empty((*planes[0].shape, len(planes)), np.float32)
        for index, (band, plane) in enumerate(zip(_BANDS, planes, strict=True)):
            reflectance[..., index] = plane
            reflectance[..., index] += told.offsets[band]
        reflectance /= told.quantification
        return mask.CSmask(
            reflectance,
            list(_BAND_ORDER),
            product_level=told.level.lower(),
            intra_op_num_threads=THREADS,
            providers=["CPUExecutionProvider"],
        ).csm

    return work


def _read_whole_bands(images: BandImages) -> list[NDArray[np.uint16]]:
    """Each band whole, a thread a band, :data:`THREADS` at a time."""
    import rasterio  # noqa: PLC0415 - only in the process of a decoder

    def read(path: Path) -> NDArray[np.uint16]:
        with rasterio.open(path) as file:
            size = tuple(-(-side // images.step) for side in file.shape)
            pixels: NDArray[np.uint16] = file.read(1, out_shape=size)
            return pixels

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(read, images.paths, timeout=LIMIT_SECONDS))


def _flightsw(twin: TwinSettings | None) -> _Prepare:
    def prepare(scene: Path, distance: int, opened: ExitStack) -> _Work:
        from flightsw.chain import SceneRequest, open_chain  # noqa: PLC0415 - loads slowly

        card = DimcSettings(card="simulator", twin=twin)
        settings = Settings(engines=("dimc",), dimc=card)
        chain = opened.enter_context(open_chain(settings))
        out = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        return lambda: chain.process(SceneRequest(scene, out, ground_sample_distance=distance))

    return prepare


PEERS: Final = {
    OURS: _Peer("flightsw, INT8 simulator computing", "Apache-2.0", _flightsw(None)),
    "flightsw-twin": _Peer(
        "flightsw, twin's timing", "Apache-2.0", _flightsw(TwinSettings(compute=False))
    ),
    "ukis-csmask": _Peer("ukis-csmask, JP2 to mask", "Apache-2.0", _csmask),
    "glymur": _Peer("glymur, plain decode by strips", "MIT", _glymur),
    "rasterio": _Peer("rasterio, plain decode of whole bands", "BSD-3-Clause", _rasterio),
}
"""By name; all with :data:`THREADS` threads."""


def _why(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"was ended by {signal.Signals(-done.returncode).name}"
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"ended with status {done.returncode}"


def main() -> int:
    """Run the peer that the command line names, and print what it took as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=PEERS)
    parser.add_argument("scene", type=Path)
    parser.add_argument("ground_sample_distance", type=int)
    told = parser.parse_args()
    try:
        with ExitStack() as opened:
            work = PEERS[told.name].prepare(told.scene, told.ground_sample_distance, opened)
            usage, _ = measure_usage(work)
    except FlightError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    print(msgspec.json.encode(usage).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
