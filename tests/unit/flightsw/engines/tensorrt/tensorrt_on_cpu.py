"""TensorRT's Python API without its library: the same names and arguments, computing on the CPU.

Plans are real in that they hold the graph they were built from, and belong to one library version
and one device; ONNX Runtime answers, from and to the very addresses that it is given.  Everything
that the library would refuse, or that tests/stubs/tensorrt does not declare, fails.
"""

# The library names its arguments.
# ruff: noqa: A002

from __future__ import annotations

import ctypes
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

MAGIC = b"plan\n"
Shape = tuple[int, ...]


@dataclass
class Behaviour:
    """What this library and its device are like, and what was asked of them."""

    version: str = "10.3.0"
    device: str = "Orin"
    largest_build: int = 256
    largest_run: int = 256
    starts: bool = True
    runs: bool = True
    builds: list[Shape] = field(default_factory=list)
    loads: int = 0
    workspaces: list[int] = field(default_factory=list)
    streams: list[int] = field(default_factory=list)


class DataType(Enum):
    FLOAT = 0
    HALF = 1


class BuilderFlag(Enum):
    FP16 = 0


class MemoryPoolType(Enum):
    WORKSPACE = 0


class Severity(Enum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


class ILogger:
    Severity = Severity

    def __init__(self) -> None:
        self._made = True

    def log(self, severity: Any, msg: str) -> None:
        raise NotImplementedError("must be overridden")


class Dims:
    def __init__(self, shape: Sequence[int]) -> None:
        self._shape = tuple(shape)

    def __getitem__(self, arg0: slice) -> Shape:
        return self._shape[arg0]


class INetworkDefinition:
    def __init__(self) -> None:
        self._graph = b""


class IOptimizationProfile:
    def __init__(self) -> None:
        self._shapes: dict[str, tuple[Shape, Shape, Shape]] = {}

    def set_shape(
        self, input: str, min: Sequence[int], opt: Sequence[int], max: Sequence[int]
    ) -> None:
        if not all(a <= b <= c for a, b, c in zip(min, opt, max, strict=True)):
            raise ValueError("min, opt and max are out of order")
        self._shapes[input] = (tuple(min), tuple(opt), tuple(max))


class IBuilderConfig:
    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._flags: set[BuilderFlag] = set()
        self._profiles: list[IOptimizationProfile] = []

    def set_flag(self, flag: BuilderFlag) -> None:
        self._flags.add(_require(flag, BuilderFlag))

    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None:
        _require(pool, MemoryPoolType)
        self._behaviour.workspaces.append(pool_size)

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self._profiles.append(_require(profile, IOptimizationProfile))
        return len(self._profiles) - 1


class IHostMemory(bytearray):
    """Bytes through the buffer protocol."""


class ParserError:
    def __init__(self, message: str) -> None:
        self._message = message

    def desc(self) -> str:
        return self._message


class OnnxParser:
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self._network = _require(network, INetworkDefinition)
        self._errors: list[ParserError] = []
        _require_logger(logger)

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def parse_from_file(self, model: str) -> bool:
        self._network._graph = Path(_require(model, str)).read_bytes()
        try:
            _session(self._network._graph)
        except Exception as error:  # noqa: BLE001  # whatever a graph may be
            self._errors.append(ParserError(str(error)))
        return not self._errors

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]


class IExecutionContext:
    def __init__(self, behaviour: Behaviour, session: Any, shape: Shape) -> None:
        self._behaviour = behaviour
        self._session = session
        self._profile = shape
        self._shape: Shape = ()
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shape = _require(shape, tuple)
        return name == self._input.name and shape == self._profile

    def get_tensor_shape(self, name: str) -> Dims:
        found = {one.name: one.shape for one in (self._input, *self._session.get_outputs())}[name]
        return Dims((self._shape[0], *found[1:]))

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = _require(memory, int)
        return name in (self._input.name, *(one.name for one in self._session.get_outputs()))

    def execute_async_v3(self, stream_handle: int) -> bool:
        self._behaviour.streams.append(_require(stream_handle, int))
        if not self._behaviour.runs:
            return False
        (output,) = self._session.get_outputs()
        tiles = _floats_at(self._addresses[self._input.name], self._shape)
        (logits,) = self._session.run(None, {self._input.name: tiles})
        _floats_at(self._addresses[output.name], logits.shape)[:] = logits
        return True

    @property
    def _input(self) -> Any:
        return self._session.get_inputs()[0]


class ICudaEngine:
    def __init__(self, behaviour: Behaviour, graph: bytes, shape: Shape) -> None:
        self._behaviour = behaviour
        self._session = _session(graph)
        self._shape = shape

    def get_tensor_dtype(self, name: str) -> DataType:
        tensors = [*self._session.get_inputs(), *self._session.get_outputs()]
        kinds = {one.name: one.type for one in tensors}
        return DataType.FLOAT if kinds[name] == "tensor(float)" else DataType.HALF

    def create_execution_context(self) -> IExecutionContext | None:
        if self._shape[0] > self._behaviour.largest_run:
            return None
        return IExecutionContext(self._behaviour, self._session, self._shape)


def tensorrt_on_cpu(behaviour: Behaviour) -> ModuleType:
    """The module ``tensorrt``."""

    class Builder:
        def __init__(self, logger: ILogger) -> None:
            self._logger = _require_logger(logger)
            if not behaviour.starts:
                logger.log(Severity.ERROR, "CUDA initialization failure with error: 35")
                raise TypeError("pybind11::init(): factory function returned nullptr")

        def create_network(self, flags: int = 0) -> INetworkDefinition:
            return INetworkDefinition()

        def create_builder_config(self) -> IBuilderConfig:
            return IBuilderConfig(behaviour)

        def create_optimization_profile(self) -> IOptimizationProfile:
            return IOptimizationProfile()

        def build_serialized_network(
            self, network: INetworkDefinition, config: IBuilderConfig
        ) -> IHostMemory | None:
            (declared,) = _session(network._graph).get_inputs()
            (profile,) = config._profiles
            shape, most_likely, largest = profile._shapes[declared.name]
            assert shape == most_likely == largest
            assert shape[1:] == tuple(declared.shape[1:])
            assert config._flags == {BuilderFlag.FP16}
            behaviour.builds.append(shape)
            if shape[0] > behaviour.largest_build:
                self._logger.log(Severity.ERROR, "Requested amount of GPU memory is not there")
                return None
            self._logger.log(Severity.WARNING, "weights are affected by this conversion")
            header = json.dumps([behaviour.version, behaviour.device, shape]).encode()
            return IHostMemory(MAGIC + header + b"\n" + network._graph)

    class Runtime:
        def __init__(self, logger: ILogger) -> None:
            self._logger = _require_logger(logger)

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
            behaviour.loads += 1
            header, _, graph = bytes(serialized_engine).removeprefix(MAGIC).partition(b"\n")
            version, device, shape = json.loads(header)
            if (version, device) != (behaviour.version, behaviour.device):
                self._logger.log(Severity.ERROR, "The engine plan file is of another library")
                return None
            return ICudaEngine(behaviour, graph, tuple(shape))

    module = ModuleType("tensorrt")
    module.__dict__["__version__"] = behaviour.version
    for kind in (Builder, Runtime, *_KINDS):
        module.__dict__[kind.__name__] = kind
    return module


_KINDS = (
    BuilderFlag,
    DataType,
    Dims,
    IBuilderConfig,
    ICudaEngine,
    IExecutionContext,
    IHostMemory,
    ILogger,
    INetworkDefinition,
    IOptimizationProfile,
    MemoryPoolType,
    OnnxParser,
    ParserError,
)


def _require(value: Any, kind: type) -> Any:
    """What pybind11 does."""
    if not isinstance(value, kind):
        raise TypeError(f"incompatible function arguments: {value!r} is no {kind.__name__}")
    return value


def _require_logger(logger: ILogger) -> ILogger:
    if not _require(logger, ILogger)._made:
        raise TypeError("ILogger.__init__() must be called when overriding __init__")
    return logger


def _session(graph: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _floats_at(address: int, shape: Sequence[int]) -> NDArray[np.float32]:
    memory = (ctypes.c_float * prod(shape)).from_address(address)
    return np.ctypeslib.as_array(memory).reshape(tuple(shape))
