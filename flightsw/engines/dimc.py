"""The D-IMC card as an engine: one compiled model, one instance, buffers made once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from time import monotonic_ns
from types import TracebackType
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from flightsw.config import DimcSettings
from flightsw.dimc import simulator
from flightsw.dimc.compiled_model import CompiledModel, read_compiled_model
from flightsw.dimc.runtime import ModelInstance, Runtime, open_runtime
from flightsw.dimc.tensors import TensorInfo, copy_pixels, unpadded
from flightsw.engines.engine import CardReadings, EngineInfo
from flightsw.errors import EngineUnavailable, FlightError, InferenceFailed, PackageInvalid

_CORES: Final = 4
_DOUBLE_BUFFER_DELAY: Final = 2


class ModelPackage(Protocol):
    """The part of a model package that this engine needs."""

    @property
    def folder(self) -> Path:
        """Where the package lies."""
        ...

    @property
    def model_id(self) -> str:
        """Identity of the model, for products and telemetry."""
        ...

    @property
    def bands(self) -> tuple[str, ...]:
        """Input channels in order."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Output channels in order."""
        ...

    @property
    def tile_size(self) -> int:
        """Height and width of a tile in pixels."""
        ...

    def compiled_model(self, arrangement: Literal["spatial", "batch"]) -> Path:
        """Folder with the ``model.json`` of that arrangement."""
        ...


def open_dimc_engine(package: ModelPackage, settings: DimcSettings) -> DimcEngine:
    """Connect to the card (or its simulator) and load the package's model.

    Raises :class:`~flightsw.errors.PackageInvalid` where package, manifest and graph
    contradict each other, :class:`~flightsw.errors.EngineUnavailable` where the card or its
    library is missing, taken or refuses the model.
    """
    model_json = package.compiled_model(settings.arrangement) / "model.json"
    model = read_compiled_model(model_json)
    _require_agreement(package, settings, model)
    runtime = open_runtime(settings)
    with ExitStack() as opened:
        opened.callback(runtime.context.release)
        try:
            loaded = runtime.context.load_model(str(model_json))
            sub_devices = 1 if settings.arrangement == "spatial" else model.input.shape[0]
            connection = runtime.context.device_connect(runtime.device, sub_devices)
            instance = connection.load_model_instance(
                loaded,
                num_sub_devices=sub_devices,
                aipu_cores=_CORES,
                double_buffer=int(settings.double_buffer),
            )
        except runtime.faults as error:
            if isinstance(error.__cause__, FlightError):  # the simulator's own finding, in full
                raise error.__cause__ from error
            raise EngineUnavailable(
                runtime.device.name,
                f"did not load {model_json}: {_described(error)}",
                "Release the card from other processes, or compile the model with its SDK version",
                fault=type(error).__name__,
            ) from error
        opened.pop_all()
    return DimcEngine(package, settings, model, runtime, instance)


class DimcEngine:
    """Implements :class:`~flightsw.engines.engine.Engine` on one model instance.

    With double buffering an answer comes two batches late.  After a failed or
    interrupted call nobody can tell which batch the card's next answer belongs
    to, so the engine closes itself: open a new one.

    The vendor's ``run`` blocks without a deadline, so a card that hangs holds ``push``
    until the caller's watchdog acts; the simulator's waits end after 30 s.
    """

    def __init__(
        self,
        package: ModelPackage,
        settings: DimcSettings,
        model: CompiledModel,
        runtime: Runtime,
        instance: ModelInstance,
    ) -> None:
        self._runtime = runtime
        self._instance = instance
        self._info = _engine_info(package, model, runtime)
        self._input = model.input
        self._output = model.output
        self._twinned = settings.twin is not None
        delay = _DOUBLE_BUFFER_DELAY if settings.double_buffer else 0
        # Tiles of each batch in the card; 0 stands for a batch that nobody waits for.
        self._in_flight = deque([0] * delay)
        # The card may still read a batch until its answer is out.
        self._inputs = deque(_filled(model.input) for _ in range(delay + 1))
        self._answer = _filled(model.output)
        self._closed_because = ""

    @property
    def info(self) -> EngineInfo:
        """What the pipeline must know."""
        return self._info

    def infer(self, tiles: NDArray[np.int8]) -> NDArray[np.int8]:
        """Run one batch and wait for its own answer; nothing may be in flight."""
        self._require_open()
        if any(self._in_flight):
            raise InferenceFailed(
                self._info.device, "batches are still in flight", "Flush the engine first"
            )
        logits = self.push(tiles)
        return next(self.flush()) if logits is None else logits

    def push(self, tiles: NDArray[np.int8]) -> NDArray[np.int8] | None:
        """Run 1 to ``batch`` tiles; the logits of the batch that is due, if there is one."""
        batch, *tile = self._input.unpadded_shape
        fits = tiles.dtype == np.int8 and tiles.shape[1:] == tuple(tile)
        if not fits or not 1 <= len(tiles) <= batch:
            raise self._unfit(tiles)
        padded = self._inputs[0]
        self._inputs.rotate(-1)
        inside = unpadded(padded, self._input.padding)
        copy_pixels(inside[: len(tiles)], tiles)
        inside[len(tiles) :] = self._input.zero_point
        return self._run(padded, len(tiles))

    def flush(self) -> Iterator[NDArray[np.int8]]:
        """Logits of the batches still in flight, pushed out by batches that nobody waits for."""
        while any(self._in_flight):
            logits = self._run(self._inputs[0], 0)
            if logits is not None:
                yield logits

    def readings(self) -> CardReadings | None:
        """What the simulated card did; None for a real one, whose runtime reports none of it."""
        if not isinstance(self._instance, simulator.ModelInstance):
            return None
        history, now_ns = self._instance.history, monotonic_ns()
        return CardReadings(
            busy_ns=history.busy_ns,
            span_ns=history.span_ns,
            energy_joules=history.energy_joules(now_ns) if self._twinned else None,
            power_watts=history.power_watts(now_ns) if self._twinned else None,
            temperature_celsius=history.temperature_celsius(now_ns) if self._twinned else None,
        )

    def close(self) -> None:
        """Release the card; batches in flight are lost.  May be called again."""
        self._close("the engine is closed")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, padded: NDArray[np.int8], tiles: int) -> NDArray[np.int8] | None:
        self._require_open()
        try:
            self._instance.run([padded], [self._answer])
        except self._runtime.faults as error:
            cause = f"inference failed: {_described(error)}"
            self._close(f"the engine closed itself because {cause}")
            raise InferenceFailed(
                self._info.device, cause, _CURE, fault=type(error).__name__
            ) from error
        except BaseException:
            self._close("the engine closed itself because a call was interrupted")
            raise
        self._in_flight.append(tiles)
        due = self._in_flight.popleft()
        if not due:
            return None
        logits = np.empty((due, *self._output.unpadded_shape[1:]), np.int8)
        copy_pixels(logits, unpadded(self._answer, self._output.padding)[:due])
        return logits

    def _require_open(self) -> None:
        if self._closed_because:
            raise InferenceFailed(self._info.device, self._closed_because, _CURE)

    def _close(self, because: str) -> None:
        if self._closed_because:
            return
        self._closed_because = because
        with suppress(*self._runtime.faults):  # a card that is gone has nothing to release
            self._runtime.context.release()

    def _unfit(self, tiles: NDArray[np.int8]) -> InferenceFailed:
        expected = f"1 to {self._input.unpadded_shape[0]} int8 {self._input.unpadded_shape[1:]}"
        found = f"{tiles.dtype} {tiles.shape}"
        return InferenceFailed(
            self._info.device,
            f"tiles must be {expected}, found {found}",
            "Prepare the tiles as the engine's info says",
            expected=expected,
            found=found,
        )


_CURE: Final = "Open the engine again; refresh the card (axdevice --refresh) if that fails too"


def _described(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()


def _filled(tensor: TensorInfo) -> NDArray[np.int8]:
    return np.full(tensor.shape, tensor.zero_point, np.int8)


def _engine_info(package: ModelPackage, model: CompiledModel, runtime: Runtime) -> EngineInfo:
    return EngineInfo(
        name="dimc",
        tag="axelera",
        device=runtime.device.name + (" (simulator)" if runtime.simulated else ""),
        precision="int8",
        batch=model.input.unpadded_shape[0],
        tile_size=package.tile_size,
        bands=package.bands,
        classes=package.classes,
        input_scale=model.input.scale,
        input_zero_point=model.input.zero_point,
        output_scale=model.output.scale,
        output_zero_point=model.output.zero_point,
        model_id=package.model_id,
    )


def _require_agreement(package: ModelPackage, settings: DimcSettings, model: CompiledModel) -> None:
    """The manifest must describe the tiles that the package promises."""
    batch = 1 if settings.arrangement == "spatial" else model.input.unpadded_shape[0]
    tile = (batch, package.tile_size, package.tile_size)
    for key, tensor, expected in (
        ("input_shapes", model.input, (*tile, len(package.bands))),
        ("output_shapes", model.output, (*tile, len(package.classes))),
    ):
        if tensor.unpadded_shape != expected:
            raise PackageInvalid(
                model.manifest,
                f"{key} without padding must be {expected}, found {tensor.unpadded_shape}",
                "Compile the model again for this arrangement, or install an intact package",
                key=key,
                expected=str(expected),
                found=str(tensor.unpadded_shape),
            )
