"""TensorRT 10: an engine is built from an ONNX graph, loaded, and run.

Importing this module imports the library.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final, TypeVar

import structlog
import tensorrt

from flightsw.model.onnx_export import INPUT, OUTPUT

_log: Final = structlog.get_logger(__name__)

T = TypeVar("T")

VERSION: Final = tensorrt.__version__
MAJOR: Final = "10"
"""TensorRT 11 has no FP16 flag any more: it requires each layer's precision in the graph."""


class LibraryRefused(RuntimeError):  # noqa: N818
    """TensorRT refused a request, mostly for lack of memory; the message is TensorRT's."""


class PlanRefused(LibraryRefused):
    """A plan was not made by this library for this device."""


def build_plan(onnx: Path, tiles_shape: tuple[int, ...], workspace_bytes: int) -> bytes:
    """Build an FP16 engine for tiles of exactly this shape (NCHW); takes minutes.

    Input and output stay float32.  Raises :class:`LibraryRefused`.
    """
    log = _library_log()
    log.last_error = ""
    builder = _made(tensorrt.Builder, log)
    network = builder.create_network()
    parser = tensorrt.OnnxParser(network, log)
    if not parser.parse_from_file(str(onnx)):
        reasons = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        raise LibraryRefused(f"it cannot read the ONNX graph ({'; '.join(reasons)})")
    config = builder.create_builder_config()
    config.set_flag(tensorrt.BuilderFlag.FP16)
    config.set_memory_pool_limit(tensorrt.MemoryPoolType.WORKSPACE, workspace_bytes)
    profile = builder.create_optimization_profile()
    profile.set_shape(INPUT, tiles_shape, tiles_shape, tiles_shape)
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise LibraryRefused(f"it built no engine{log.last_error_in_brackets()}")
    return bytes(plan)


class LoadedPlan:
    """A plan on the device, with the memory of its layers.

    Raises :class:`PlanRefused` if the plan was not made by this library for this device, or has
    other tensors, and :class:`LibraryRefused` if the device has too little memory for it.
    """

    def __init__(
        self, plan: bytes, tiles_shape: tuple[int, ...], logits_shape: tuple[int, ...]
    ) -> None:
        log = _library_log()
        log.last_error = ""
        # The engine lives no longer than its runtime.
        self._runtime = _made(tensorrt.Runtime, log)
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise PlanRefused(f"it does not load the plan{log.last_error_in_brackets()}")
        context = engine.create_execution_context()
        if context is None:
            raise LibraryRefused(f"it has no memory to run the plan{log.last_error_in_brackets()}")
        if not context.set_input_shape(INPUT, tiles_shape):
            raise PlanRefused(f"the plan does not take tiles {tiles_shape}")
        found = context.get_tensor_shape(OUTPUT)[:]
        if found != logits_shape:
            raise PlanRefused(f"the plan answers {found} instead of {logits_shape}")
        for name in (INPUT, OUTPUT):
            if (kind := engine.get_tensor_dtype(name)) != tensorrt.DataType.FLOAT:
                raise PlanRefused(f"the plan's {name} are {kind} instead of float32")
        self._engine = engine
        self._context = context

    def bind(self, tiles_address: int, logits_address: int) -> None:
        """Set the device addresses of each run's tiles and logits: float32 NCHW."""
        for name, address in ((INPUT, tiles_address), (OUTPUT, logits_address)):
            if not self._context.set_tensor_address(name, address):
                raise LibraryRefused(f"it does not take the memory for {name}")

    def enqueue(self, stream_handle: int) -> None:
        """Run once on a CUDA stream, without waiting; raises :class:`LibraryRefused`."""
        log = _library_log()
        log.last_error = ""
        if not self._context.execute_async_v3(stream_handle):
            raise LibraryRefused(f"it did not start the batch{log.last_error_in_brackets()}")


def _made(kind: Callable[[tensorrt.ILogger], T], log: _LibraryLog) -> T:
    try:
        return kind(log)
    except TypeError as error:  # how pybind11 reports the null pointer that the library gave
        raise LibraryRefused(f"it does not start{log.last_error_in_brackets()}") from error


class _LibraryLog(tensorrt.ILogger):
    """Forwards the library's messages to the service's log; its last error is also kept."""

    def __init__(self) -> None:
        tensorrt.ILogger.__init__(self)  # pybind11 requires this very call
        self.last_error = ""

    def log(self, severity: tensorrt.ILogger.Severity, msg: str) -> None:
        levels = tensorrt.ILogger.Severity
        if severity in (levels.INTERNAL_ERROR, levels.ERROR):
            self.last_error = msg
            _log.error("TensorRT", said=msg)
        elif severity == levels.WARNING:
            _log.info("TensorRT", said=msg)

    def last_error_in_brackets(self) -> str:
        """The last error, to append to a sentence; empty if there was none."""
        return f" ({self.last_error})" if self.last_error else ""


@cache
def _library_log() -> _LibraryLog:
    """One for the process: the library keeps the first that it is given."""
    return _LibraryLog()
