"""Other software on a scene, and ours beside it, each in its own process.

The time runs from libraries and models loaded to the mask (for a plain decoder, the last pixel).
``ukis-csmask`` (Apache-2.0, the optional extra ``[model]``) is loaded nowhere but here.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from tqdm import tqdm

from deploy.benchmark.alone import measure_usage, run_alone
from deploy.benchmark.decode import BANDS, THREADS, band_images, decode_strips, read_whole_bands
from flightsw.config import TwinSettings
from flightsw.errors import EngineUnavailable
from flightsw.scene import open_scene
from telecommands.dictionary import Decode

OURS: Final = "flightsw-simulator"
"""The others are compared with it."""

LIMIT_SECONDS: Final = 1800.0
_DISTANCES: Final = (10, 20)
_TIMING: Final = TwinSettings(compute=False)
_BAND_ORDER: Final = ("blue", "green", "red", "nir")

_Work: TypeAlias = Callable[[], object]
_Prepare: TypeAlias = Callable[[Path, int, ExitStack], _Work]


@dataclass(frozen=True)
class _Peer:
    """``prepare`` loads what is needed and returns the work to be timed."""

    title: str
    licence: str
    prepare: _Prepare


def measure_peers(scene: Path) -> dict[str, Any]:
    """All of :data:`PEERS` at 10 m and at 20 m."""
    band_images(scene, 10)  # refuses what is not a SAFE before the first run
    wanted = tqdm([*product(_DISTANCES, PEERS)], unit="run", disable=None)
    return {"peers": [run_peer(name, scene, distance) for distance, name in wanted]}


def run_peer(
    name: str, scene: Path, ground_sample_distance: int, limit_seconds: float = LIMIT_SECONDS
) -> dict[str, Any]:
    """Run one of :data:`PEERS` on a SAFE product: its ``usage``, or one line in ``absent``."""
    peer = PEERS[name]
    result = {
        "name": name,
        "title": peer.title,
        "licence": peer.licence,
        "ground_sample_distance": ground_sample_distance,
    }
    try:
        usage = run_alone(_run, name, scene, ground_sample_distance, limit_seconds=limit_seconds)
    except RuntimeError as error:
        return result | {"absent": str(error)}
    return result | {"usage": usage}


def _run(name: str, scene: Path, ground_sample_distance: int) -> dict[str, float]:
    with ExitStack() as opened:
        usage = measure_usage(PEERS[name].prepare(scene, ground_sample_distance, opened))
    del usage["result"]
    return usage


def _glymur(scene: Path, distance: int, _: ExitStack) -> _Work:
    images = band_images(scene, distance)
    return lambda: decode_strips(images)


def _rasterio(scene: Path, distance: int, _: ExitStack) -> _Work:
    images = band_images(scene, distance)
    return lambda: read_whole_bands(images)


def _csmask(scene: Path, distance: int, _: ExitStack) -> _Work:
    try:
        mask = importlib.import_module("ukis_csmask.mask")
    except ImportError as error:
        raise EngineUnavailable(
            "ukis-csmask", f"is not installed ({error})", "pip install flightsw[model]"
        ) from error
    images, metadata = band_images(scene, distance), open_scene(scene, BANDS, distance).metadata

    def work() -> Any:
        planes = read_whole_bands(images)
        reflectance = np.empty((*planes[0].shape, len(planes)), np.float32)
        for index, (band, plane) in enumerate(zip(BANDS, planes, strict=True)):
            reflectance[..., index] = plane
            reflectance[..., index] += metadata.offsets[band]
        reflectance /= metadata.quantification
        return mask.CSmask(
            reflectance,
            list(_BAND_ORDER),
            product_level=metadata.level.lower(),
            intra_op_num_threads=THREADS,
            providers=["CPUExecutionProvider"],
        ).csm

    return work


def _flightsw(twin: TwinSettings | None, decode: Decode = "exact") -> _Prepare:
    def prepare(scene: Path, distance: int, opened: ExitStack) -> _Work:
        # Loads slowly, and takes memory that the other peers do not need.
        from deploy.benchmark.scenario import simulator  # noqa: PLC0415
        from flightsw.chain import SceneRequest, open_chain  # noqa: PLC0415

        chain = opened.enter_context(open_chain(simulator(twin)))
        out = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        request = SceneRequest(
            scene, out, ground_sample_distance=distance, decode=decode, overwrite=True
        )
        return lambda: chain.process(request)

    return prepare


PEERS: Final = {
    OURS: _Peer("flightsw, INT8 simulator computing", "Apache-2.0", _flightsw(None)),
    "flightsw-twin": _Peer("flightsw, twin's timing", "Apache-2.0", _flightsw(_TIMING)),
    "flightsw-simulator-fast": _Peer(
        "flightsw, INT8 simulator computing, fast decode", "Apache-2.0", _flightsw(None, "fast")
    ),
    "flightsw-twin-fast": _Peer(
        "flightsw, twin's timing, fast decode", "Apache-2.0", _flightsw(_TIMING, "fast")
    ),
    "ukis-csmask": _Peer("ukis-csmask, JP2 to mask", "Apache-2.0", _csmask),
    "glymur": _Peer("glymur, plain decode by strips", "MIT", _glymur),
    "rasterio": _Peer("rasterio, plain decode of whole bands", "BSD-3-Clause", _rasterio),
}
"""By name; all with :data:`~deploy.benchmark.decode.THREADS` threads."""
