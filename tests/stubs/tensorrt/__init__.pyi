"""What flightsw calls of TensorRT's Python API, as the library itself declares it.

The signatures (names, parameters, defaults, types) are those that the bindings of TensorRT 10.3.0,
the version of JetPack 6.2, tell in their docstrings (PyPI, tensorrt-cu12-bindings); 10.16.1 has the
same ones, and more overloads.  Overloads and last parameters that flightsw has no use for are left
out.  ``Buffer`` stands for pybind11's ``buffer``, ``Dims | Sequence[int]`` for the conversion from
tuples and lists that the bindings declare, ``| None`` for the null pointers of failed calls.

mypy checks the flight side's calls against this file;
tests/unit/flightsw/engines/tensorrt/tensorrt_on_cpu.py is the library's stand-in with
exactly these signatures.
"""

from collections.abc import Sequence
from enum import Enum

from typing_extensions import Buffer

__version__: str

class Dims:
    def __getitem__(self, arg0: slice) -> tuple[int, ...]: ...

class DataType(Enum):
    FLOAT = 0

class BuilderFlag(Enum):
    FP16 = 0

class MemoryPoolType(Enum):
    WORKSPACE = 0

class ILogger:
    class Severity(Enum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    def __init__(self) -> None: ...
    def log(self, severity: ILogger.Severity, msg: str) -> None: ...

class INetworkDefinition: ...

class IOptimizationProfile:
    def set_shape(
        self,
        input: str,
        min: Dims | Sequence[int],
        opt: Dims | Sequence[int],
        max: Dims | Sequence[int],
    ) -> None: ...

class IBuilderConfig:
    def set_flag(self, flag: BuilderFlag) -> None: ...
    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None: ...
    def add_optimization_profile(self, profile: IOptimizationProfile) -> int: ...

class IHostMemory:
    def __buffer__(self, flags: int, /) -> memoryview: ...

class Builder:
    def __init__(self, logger: ILogger) -> None: ...
    def create_network(self, flags: int = 0) -> INetworkDefinition: ...
    def create_builder_config(self) -> IBuilderConfig: ...
    def create_optimization_profile(self) -> IOptimizationProfile: ...
    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> IHostMemory | None: ...

class ParserError:
    def desc(self) -> str: ...

class OnnxParser:
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None: ...
    @property
    def num_errors(self) -> int: ...
    def parse_from_file(self, model: str) -> bool: ...
    def get_error(self, index: int) -> ParserError: ...

class IExecutionContext:
    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool: ...
    def get_tensor_shape(self, name: str) -> Dims: ...
    def set_tensor_address(self, name: str, memory: int) -> bool: ...
    def execute_async_v3(self, stream_handle: int) -> bool: ...

class ICudaEngine:
    def get_tensor_dtype(self, name: str) -> DataType: ...
    def create_execution_context(self) -> IExecutionContext | None: ...

class Runtime:
    def __init__(self, logger: ILogger) -> None: ...
    def deserialize_cuda_engine(self, serialized_engine: Buffer) -> ICudaEngine | None: ...
