"""``axelera.runtime`` without a card: the same classes, arguments, errors, blocking and padding.

The model's INT8 graph is computed by OpenVINO on the host CPU; with
:class:`~flightsw.config.TwinSettings` the frames also take the reference
card's time.  Source of names, defaults and behaviour: the vendor's
documentation of ``axelera.runtime`` (Voyager SDK).

If the vendor leaves a case open, the simulator is strict: unknown
properties are refused, a second ``run`` of an instance while one is running
raises ``Pending``, and DMA buffers raise ``NotImplemented``.
"""

# The vendor's exception names, two of which are also built-ins.
# ruff: noqa: A004, F901

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Final

import msgspec

from flightsw.config import TwinSettings
from flightsw.dimc.compiled_model import CompiledModel, read_compiled_model
from flightsw.dimc.errors import (
    ConnectionError,
    DeviceInUse,
    IncompatibleDevice,
    InternalError,
    InvalidArgument,
    InvalidConfiguration,
    NotImplemented,
    Pending,
    UnknownError,
)
from flightsw.dimc.simulator.brightness import BrightnessThreshold
from flightsw.dimc.simulator.device import (
    BoardType,
    CorePool,
    DeviceInfo,
    SimulatedDevice,
    require_integer,
)
from flightsw.dimc.simulator.frames import FrameArithmetic, FrameQueue
from flightsw.dimc.simulator.instance import ModelInstance
from flightsw.dimc.simulator.int8_graph import Int8Graph
from flightsw.dimc.simulator.objects import Object
from flightsw.dimc.simulator.twin import (
    CORES,
    CardHistory,
    CardTimeline,
    LatencyDraw,
    to_card_ns,
)
from flightsw.dimc.tensors import TensorInfo
from flightsw.errors import PackageInvalid

__all__ = [
    "BoardType",
    "Connection",
    "ConnectionError",
    "Context",
    "DeviceInUse",
    "DeviceInfo",
    "IncompatibleDevice",
    "InternalError",
    "InvalidArgument",
    "InvalidConfiguration",
    "Model",
    "ModelInstance",
    "NotImplemented",
    "Object",
    "Pending",
    "TensorInfo",
    "UnknownError",
]

_DOUBLE_BUFFER_DELAY: Final = 2

_INSTANCE_DEFAULTS: Final = {
    "aipu_cores": 0,
    "num_sub_devices": 0,
    "input_dmabuf": 0,
    "output_dmabuf": 0,
    "double_buffer": 0,
    "device_profiling": 0,
    "host_profiling": 0,
    "elf_in_ddr": 1,
}


class Context(Object):
    """Root of all objects; owns one simulated card.

    ``twin`` gives the card's timing (None: as fast as the CPU computes),
    ``threads`` the CPU threads of the INT8 arithmetic.  Each context has its
    own card.
    """

    def __init__(self, twin: TwinSettings | None = None, threads: int = 2) -> None:
        super().__init__(None)
        self._device = SimulatedDevice()
        self._twin = twin
        self._threads = threads

    def list_devices(self) -> list[DeviceInfo]:
        """The one simulated card."""
        self._require_alive()
        return [self._device.info]

    def load_model(self, path: str | PathLike[str]) -> Model:
        """Read ``model.json`` with its manifest and graph.

        Raises ``InvalidArgument`` if the file does not exist, and
        ``InvalidConfiguration`` (caused by
        :class:`~flightsw.errors.PackageInvalid`) if its content is invalid.
        """
        self._require_alive()
        if not Path(path).is_file():
            raise InvalidArgument(f"{path} is not a file")
        try:
            description = read_compiled_model(Path(path))
            graph = Int8Graph(description, self._threads)
        except PackageInvalid as error:
            raise InvalidConfiguration(str(error)) from error
        return Model(self, description, graph)

    def device_connect(
        self, device: DeviceInfo | None = None, num_sub_devices: int = 1, **properties: object
    ) -> Connection:
        """Reserve sub-devices of ``device`` (None: the first one)."""
        self._require_alive()
        card = self._find(self._device.info if device is None else device)
        if properties:
            raise InvalidArgument(f"unknown properties: {', '.join(sorted(properties))}")
        require_integer("num_sub_devices", num_sub_devices, 1, card.info.subdevice_count)
        card.sub_devices.take(num_sub_devices)
        return Connection(self, card, num_sub_devices, self._twin)

    def configure_device(self, device: DeviceInfo, **properties: int) -> bool:
        """Set clock profiles and MVM utilisations; True, as nothing stays pending here."""
        self._require_alive()
        self._find(device).configure(properties)
        return True

    def device_ready(self, device: DeviceInfo) -> bool:
        """Whether the last configuration is complete: always."""
        self._require_alive()
        self._find(device)
        return True

    def read_device_configuration(self, device: DeviceInfo) -> dict[str, str]:
        """Every configuration property as text."""
        self._require_alive()
        return self._find(device).configuration()

    def _find(self, device: DeviceInfo) -> SimulatedDevice:
        if not isinstance(device, DeviceInfo):
            raise InvalidArgument(f"expected a DeviceInfo, found {type(device).__name__}")
        if device.name != self._device.info.name:
            raise ConnectionError(f"device {device.name} does not exist")
        return self._device


class Model(Object):
    """A compiled model that can be loaded onto several connections."""

    def __init__(self, context: Context, description: CompiledModel, graph: Int8Graph) -> None:
        super().__init__(context)
        self._graph = graph
        self._properties = dict(description.properties)
        self._input = replace(description.input, name=graph.input_name)
        self._output = replace(description.output, name=graph.output_name)

    @property
    def properties(self) -> dict[str, str]:
        """Host graphs and tensor layout, as the manifest names them."""
        self._require_alive()
        return dict(self._properties)

    def inputs(self) -> list[TensorInfo]:
        """Description of the input tensors."""
        self._require_alive()
        return [replace(self._input)]

    def outputs(self) -> list[TensorInfo]:
        """Description of the output tensors."""
        self._require_alive()
        return [replace(self._output)]

    def new_arithmetic(self, *, compute: bool) -> FrameArithmetic:
        """What computes one frame: the INT8 graph, or its stand-in for timing alone."""
        self._require_alive()
        if compute:
            return self._graph.new_request()
        return BrightnessThreshold(self._input, self._output)


class Connection(Object):
    """Reserved sub-devices of one card."""

    def __init__(
        self, context: Context, device: SimulatedDevice, count: int, twin: TwinSettings | None
    ) -> None:
        super().__init__(context)
        self._device = device
        self._count = count
        self._twin = twin
        self._sub_devices = CorePool("sub-devices of the connection", count)

    def load_model_instance(self, model: object, **properties: int) -> ModelInstance:
        """Load a model onto the reserved sub-devices.

        Properties and defaults: ``aipu_cores=0``, ``num_sub_devices=0`` (0:
        the model's batch size), ``input_dmabuf=0``, ``output_dmabuf=0``,
        ``double_buffer=0``, ``device_profiling=0``, ``host_profiling=0``,
        ``elf_in_ddr=1``.
        """
        self._require_alive()
        if not isinstance(model, Model) or model.context is not self.context:
            raise InvalidArgument("expected a Model of the same context")
        values = _instance_properties(properties)
        batch = model.inputs()[0].shape[0]
        cores = values["aipu_cores"] or batch
        sub_devices = values["num_sub_devices"] or batch
        if cores > CORES:
            raise IncompatibleDevice(f"batch {batch} needs {batch} cores, the card has {CORES}")
        if sub_devices > self._count:
            raise InvalidArgument(
                f"num_sub_devices {sub_devices} is more than the connection's {self._count}"
            )
        twin = _with_own_seed(self._twin, self._device.cores.taken)
        with ExitStack() as held:
            self._sub_devices.take(sub_devices)
            held.callback(self._sub_devices.give_back, sub_devices)
            self._device.cores.take(cores)
            held.callback(self._device.cores.give_back, cores)
            slots = 1 + (_DOUBLE_BUFFER_DELAY if values["double_buffer"] else 0)
            frames = _new_frames(model, twin, slots, batch, cores)
            return ModelInstance(self, model.inputs(), model.outputs(), frames, held.pop_all())

    def _give_back(self) -> None:
        self._device.sub_devices.give_back(self._count)


def _with_own_seed(twin: TwinSettings | None, cores_taken: int) -> TwinSettings | None:
    """Instances side by side draw different latencies."""
    return twin and msgspec.structs.replace(twin, seed=twin.seed + cores_taken)


def _new_frames(
    model: Model, twin: TwinSettings | None, slots: int, batch: int, cores: int
) -> FrameQueue:
    compute = twin is None or twin.compute
    try:
        arithmetic = [model.new_arithmetic(compute=compute) for _ in range(slots)]
    except PackageInvalid as error:
        raise InvalidConfiguration(str(error)) from error
    history = CardHistory(time.monotonic_ns())
    if twin is None:
        return FrameQueue(arithmetic, history, CardTimeline(to_card_ns=0, from_card_ns=0))
    timeline = CardTimeline(to_card_ns(model.inputs()[0].unpadded_shape[1:]))
    return FrameQueue(arithmetic, history, timeline, LatencyDraw(twin, batch, cores))


def _instance_properties(given: Mapping[str, int]) -> dict[str, int]:
    """The properties with their defaults; refused if unknown, out of range or unsupported."""
    for name, value in given.items():
        if name not in _INSTANCE_DEFAULTS:
            raise InvalidArgument(f"unknown property {name}")
        most = CORES if name in ("aipu_cores", "num_sub_devices") else 1
        require_integer(name, value, 0, most)
        if value and name.endswith("dmabuf"):
            raise NotImplemented(f"{name} is unavailable: the simulator has no DMA buffers")
    return {**_INSTANCE_DEFAULTS, **given}
