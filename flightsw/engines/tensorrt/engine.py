"""TensorRT as an engine: FP16, built on the target from the project's ONNX, and cached."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
import torch
from torch import Tensor, nn

from flightsw.config import TensorRtSettings
from flightsw.engines.engine import EngineInfo
from flightsw.engines.tensorrt.cache import EngineCache, EngineIdentity, default_folder
from flightsw.engines.torch.devices import CudaDevice, CudaQueue, Work
from flightsw.engines.torch.engine import TorchEngine
from flightsw.engines.torch.lanes import BatchForm, Lane, lanes_on, open_largest
from flightsw.errors import EngineUnavailable
from flightsw.host.disk import sha256
from flightsw.model.network import cause_of, open_network
from flightsw.model.onnx_export import export_onnx
from flightsw.model.package import ModelPackage

if TYPE_CHECKING:
    from flightsw.engines.tensorrt.library import LoadedPlan

_log: Final = structlog.get_logger(__name__)

_NAME: Final = "tensorrt"
_OTHERWISE: Final = "or leave this engine out of the chain"


@dataclass(frozen=True)
class Target:
    """The device: name, compute capability, memory of tensors, and how lanes are opened."""

    name: str
    compute_capability: str
    memory: str
    open_lanes: Callable[[nn.Module, BatchForm], tuple[Lane, ...]]


def open_tensorrt_engine(
    package: ModelPackage, settings: TensorRtSettings, target: Target | None = None
) -> TorchEngine:
    """Load the package's engine from the cache, or build it, which takes minutes.

    Without ``target``: the current CUDA device.  If the device has too little memory for
    ``settings.batch`` tiles, the batch is halved until it fits.  Answers come one batch late.

    Raises :class:`EngineUnavailable` if TensorRT 10, the device, its memory or the package's
    network is missing, :class:`~flightsw.errors.PackageInvalid` if that file is not a network.
    """
    version = _library_version()
    target = target or cuda_target()
    network = open_network(package)
    with ExitStack() as written:
        onnx = _write_onnx(network, package, written)
        source = _Source(package, onnx, sha256(onnx), version, settings)
        lanes = _open_largest(source, target)
    info = EngineInfo(
        name=_NAME,
        tag="trt",
        device=target.name,
        precision="fp16",
        batch=lanes[0].batch,
        tile_size=package.tile_size,
        stride=package.stride,
        bands=package.bands,
        classes=package.classes,
        temperature=package.temperature,
        model_id=package.model_id,
    )
    return TorchEngine(info, lanes)


def cuda_target() -> Target:
    """The current CUDA device; raises :class:`EngineUnavailable` if there is none."""
    if not torch.cuda.is_available():
        raise EngineUnavailable(
            _NAME,
            "is unavailable: no CUDA device answers",
            f"Install NVIDIA's driver and torch with CUDA, {_OTHERWISE}",
        )
    return Target(
        name=torch.cuda.get_device_name(),
        compute_capability="{}.{}".format(*torch.cuda.get_device_capability()),
        memory="cuda",
        open_lanes=lambda network, form: lanes_on(_CudaStreams(), network, form),
    )


class _CudaStreams(CudaDevice):
    """CUDA without graphs: TensorRT queues its own kernels, and a batch of tiles keeps it busy."""

    def record(self, work: Work, queue: CudaQueue) -> Work:
        """Run ``work`` once; it then runs as it is."""
        torch.cuda.synchronize()  # buffers were filled in another stream
        queue.run(work)
        torch.cuda.synchronize()
        return work


@dataclass(frozen=True)
class _Source:
    """What engines are built from."""

    package: ModelPackage
    onnx: Path
    onnx_sha256: str
    version: str
    settings: TensorRtSettings


class _PlanNetwork(nn.Module):
    """A loaded plan in the network's place: tiles of its batch in, logits out, both NCHW.

    All lanes share it: its tensors are used only in the queue for computing, one batch at a time.
    """

    def __init__(self, plan: LoadedPlan, form: BatchForm, memory: str) -> None:
        super().__init__()
        self._plan = plan
        self._tiles = torch.zeros(_tiles_shape(form), device=memory)
        self._logits = torch.zeros(_logits_shape(form), device=memory)
        plan.bind(self._tiles.data_ptr(), self._logits.data_ptr())

    def forward(self, tiles: Tensor) -> Tensor:
        """Logits, float32; valid until the next call."""
        self._tiles.copy_(tiles)
        stream = torch.cuda.current_stream().cuda_stream if tiles.is_cuda else 0
        self._plan.enqueue(stream)
        return self._logits


def _library_version() -> str:
    try:
        from flightsw.engines.tensorrt import library as tensorrt_library  # noqa: PLC0415
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise EngineUnavailable(
            _NAME,
            f"is unavailable: TensorRT cannot be imported ({cause_of(error)})",
            f"Install TensorRT 10 for this Python, {_OTHERWISE}",
        ) from error
    if tensorrt_library.VERSION.split(".")[0] != tensorrt_library.MAJOR:
        raise EngineUnavailable(
            _NAME,
            f"needs version {tensorrt_library.MAJOR}, this is TensorRT {tensorrt_library.VERSION}",
            f"Install TensorRT {tensorrt_library.MAJOR}, {_OTHERWISE}",
            expected=tensorrt_library.MAJOR,
            found=tensorrt_library.VERSION,
        )
    return tensorrt_library.VERSION


def _write_onnx(network: nn.Module, package: ModelPackage, written: ExitStack) -> Path:
    """The graph, in a folder that is removed when ``written`` is closed."""
    try:
        folder = written.enter_context(TemporaryDirectory(prefix="flightsw-"))
        onnx = Path(folder) / "network.onnx"
        export_onnx(network, onnx, package.tile_size, len(package.bands))
    except (ImportError, OSError, RuntimeError) as error:
        raise EngineUnavailable(
            _NAME,
            f"is unavailable: the network could not be written as ONNX ({cause_of(error)})",
            f"Set TMPDIR to a disk with free space, {_OTHERWISE}",
        ) from error
    return onnx


def _open_largest(source: _Source, target: Target) -> tuple[Lane, ...]:
    """Lanes of the largest batch that the device has memory for.

    TensorRT gives no reason that a program could rely on, so every refusal halves the batch.
    """
    package = source.package
    cache = EngineCache(source.settings.cache or default_folder())
    form = BatchForm(
        batch=source.settings.batch,
        tile_size=package.tile_size,
        bands=len(package.bands),
        classes=len(package.classes),
        dtype=torch.float16,
    )

    def open_lanes(form: BatchForm) -> tuple[Lane, ...]:
        plan = _load_plan(source, cache, form, target)
        return target.open_lanes(_PlanNetwork(plan, form, target.memory), form)

    try:
        return open_largest(form, open_lanes, too_large=lambda _: True)
    except RuntimeError as error:  # torch's and LibraryRefused
        raise EngineUnavailable(
            _NAME,
            f"has no engine for {target.name}: {cause_of(error)}",
            f"Free device memory, check that the driver fits TensorRT, {_OTHERWISE}",
        ) from error


def _load_plan(source: _Source, cache: EngineCache, form: BatchForm, target: Target) -> LoadedPlan:
    """From the cache, or built if it holds none that the library accepts."""
    from flightsw.engines.tensorrt.library import (  # noqa: PLC0415
        LoadedPlan,
        PlanRefused,
        build_plan,
    )

    identity = EngineIdentity(
        model_id=source.package.model_id,
        onnx_sha256=source.onnx_sha256,
        tensorrt=source.version,
        gpu=target.name,
        compute_capability=target.compute_capability,
        precision="fp16",
        batch=form.batch,
        tile_size=form.tile_size,
    )
    shapes = _tiles_shape(form), _logits_shape(form)
    kept = cache.load(identity)
    if kept is not None:
        try:
            return LoadedPlan(kept, *shapes)
        except PlanRefused as refusal:
            _log.warning("kept engine refused", because=str(refusal))
    _log.info("building an engine, which takes minutes", **msgspec.structs.asdict(identity))
    plan = build_plan(source.onnx, shapes[0], source.settings.workspace_mb << 20)
    cache.store(identity, plan)  # also if it needs too much memory to run: it is not built again
    return LoadedPlan(plan, *shapes)


def _tiles_shape(form: BatchForm) -> tuple[int, ...]:
    return (form.batch, form.bands, form.tile_size, form.tile_size)


def _logits_shape(form: BatchForm) -> tuple[int, ...]:
    return (form.batch, form.classes, form.tile_size, form.tile_size)
