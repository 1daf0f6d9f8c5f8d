"""The INT8 graph of a model package, computed with OpenVINO on the host CPU."""

from __future__ import annotations

import sys
import threading
import time
from datetime import timedelta
from types import ModuleType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flightsw.dimc.compiled_model import CompiledModel
from flightsw.dimc.tensors import copy_pixels
from flightsw.errors import PackageInvalid
from flightsw.host.processor import sums_int8_products_exactly

_CURE: Final = "Compile the model again, or install an intact package"


class Int8Graph:
    """One ONNX file with an int8 NHWC input and output, checked against its manifest.

    It is compiled once, on first use, however many requests are made of it.
    Raises :class:`~flightsw.errors.PackageInvalid` if graph and manifest
    contradict each other.
    """

    def __init__(self, model: CompiledModel, threads: int) -> None:
        self._openvino = load_openvino()
        self._threads = threads
        self._file = model.graph
        self._input_shape = model.input.unpadded_shape
        self._output_shape = model.output.unpadded_shape
        self._core = self._openvino.Core()
        self._graph = self._read(model)
        self._compiled: Any = None
        self._compiling = threading.Lock()

    @property
    def input_name(self) -> str:
        """Name of the graph's input."""
        return str(self._graph.input().any_name)

    @property
    def output_name(self) -> str:
        """Name of the graph's output."""
        return str(self._graph.output().any_name)

    def new_request(self) -> Int8Request:
        """A request with its own tensors on the one compiled graph."""
        with self._compiling:
            if self._compiled is None:
                self._compiled = self._compile()
        return Int8Request(
            self._openvino,
            self._compiled.create_infer_request(),
            np.zeros(self._input_shape, np.int8),
            np.zeros(self._output_shape, np.int8),
        )

    def _read(self, model: CompiledModel) -> Any:
        try:
            graph = self._core.read_model(self._file)
        except RuntimeError as error:
            cause = f"cannot be read as an ONNX graph ({_reason(error)})"
            raise PackageInvalid(self._file, cause, _CURE) from error
        for port, ports in (("inputs", graph.inputs), ("outputs", graph.outputs)):
            if len(ports) != 1:
                raise PackageInvalid.wrong(self._file, port, "one", len(ports))
            if ports[0].element_type != self._openvino.Type.i8:
                dtype = ports[0].element_type.get_type_name()
                raise PackageInvalid.wrong(self._file, f"{port[:-1]}_dtypes", "i8", dtype)
        accepted = graph.input().partial_shape
        if not accepted.compatible(self._openvino.PartialShape(list(self._input_shape))):
            raise PackageInvalid.wrong(model.manifest, "input_shapes", accepted, self._input_shape)
        try:
            graph.reshape(list(self._input_shape))
        except RuntimeError as error:
            raise PackageInvalid.wrong(
                model.manifest, "input_shapes", "a shape that the graph accepts", self._input_shape
            ) from error
        given = graph.output().partial_shape
        if given != self._openvino.PartialShape(list(self._output_shape)):
            raise PackageInvalid.wrong(model.manifest, "output_shapes", given, self._output_shape)
        return graph

    def _compile(self) -> Any:
        properties = self._openvino.properties
        try:
            return self._core.compile_model(
                self._graph,
                "CPU",
                {
                    properties.hint.performance_mode: properties.hint.PerformanceMode.LATENCY,
                    **exact_arithmetic(self._openvino),
                    properties.inference_num_threads: self._threads,
                    # The cores are shared with decoding: leave the choice of cores to the kernel.
                    properties.hint.enable_cpu_pinning: False,
                },
            )
        except RuntimeError as error:
            cause = f"cannot be compiled by OpenVINO ({_reason(error)})"
            raise PackageInvalid(self._file, cause, _CURE) from error


class Int8Request:
    """One frame's arithmetic: ``start``, ``wait``, ``write``.

    Both arrays are int8 NHWC without padding and are shared with OpenVINO.
    Requests of one graph run in the order of their start.
    """

    def __init__(
        self, openvino: ModuleType, request: Any, tiles: NDArray[np.int8], logits: NDArray[np.int8]
    ) -> None:
        self._tiles = tiles
        self._logits = logits
        self._request = request
        self._started_ns = 0
        request.set_input_tensor(openvino.Tensor(tiles, shared_memory=True))
        request.set_output_tensor(openvino.Tensor(logits, shared_memory=True))

    def start(self, tiles: NDArray[np.int8]) -> None:
        """Queue a copy of ``tiles`` (unpadded view) and return immediately."""
        copy_pixels(self._tiles, tiles)
        self._started_ns = time.monotonic_ns()
        self._request.start_async()

    def wait(self, seconds: float) -> int:
        """Wait for the answer; return the monotonic ns of its completion.

        Raises :class:`TimeoutError` after ``seconds``, and :class:`RuntimeError` if
        OpenVINO failed.
        """
        if not self._request.wait_for(timedelta(seconds=seconds) // _MILLISECOND):
            raise TimeoutError(f"no answer within {seconds:g} s")
        latency_ms: float = self._request.latency
        return self._started_ns + round(latency_ms * 1e6)

    def write(self, logits: NDArray[np.int8]) -> None:
        """Write the answer into ``logits`` (unpadded view)."""
        copy_pixels(logits, self._logits)


_MILLISECOND: Final = timedelta(milliseconds=1)


def exact_arithmetic(openvino: ModuleType, int8: bool | None = None) -> dict[Any, Any]:
    """Properties of a graph on OpenVINO's CPU with which all hosts give the same answers.

    Hosts with bfloat16 would use it.  Processors whose INT8 sums saturate compute the rounded
    values in float32 instead, in up to twice the time (docs/decisions/0053).  ``int8`` None: what
    the host's processor can do.
    """
    options: dict[Any, Any] = {openvino.properties.hint.inference_precision: openvino.Type.f32}
    if not (sums_int8_products_exactly() if int8 is None else int8):
        options["LP_TRANSFORMS_MODE"] = False
    return options


def load_openvino() -> ModuleType:
    """Import OpenVINO without its usage report.

    ``import openvino`` sends an event over the network if
    ``openvino_telemetry`` can be imported; a flight unit must not.
    """
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    absent: Any = None  # what the import system takes as "no such module"
    sys.modules.setdefault("openvino_telemetry", absent)
    try:
        import openvino  # noqa: PLC0415
    finally:
        if sys.modules["openvino_telemetry"] is None:
            del sys.modules["openvino_telemetry"]
    module: ModuleType = openvino
    return module


def _reason(error: RuntimeError) -> str:
    """The reason among OpenVINO's lines about source locations: the last line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it gives no reason"
