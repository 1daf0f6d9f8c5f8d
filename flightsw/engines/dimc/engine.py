"""The D-IMC card as an engine: one compiled model on one instance or four, buffers made once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from time import monotonic_ns
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flightsw.config import DimcSettings
from flightsw.dimc.compiled_model import CompiledModel
from flightsw.dimc.runtime import Runtime, open_runtime
from flightsw.dimc.simulator import runtime as simulator
from flightsw.dimc.simulator.brightness import STAND_IN
from flightsw.dimc.simulator.twin import CORES, MeanHistory
from flightsw.engines.closing_engine import ClosingEngine
from flightsw.engines.dimc.card_log import CardLog
from flightsw.engines.dimc.instance_driver import CURE, InstanceDriver, open_driver
from flightsw.engines.dimc.instance_pool import InstancePool
from flightsw.engines.engine import CardReadings, EngineInfo, Tiles
from flightsw.errors import EngineUnavailable, FlightError
from flightsw.model.description import Quantisation
from flightsw.model.package import Arrangement, ModelPackage

_DOUBLE_BUFFER_DELAY: Final = 2


def open_dimc_engine(package: ModelPackage, settings: DimcSettings) -> DimcEngine:
    """Connect to the card (or its simulator) and load the package's model.

    Raises :class:`~flightsw.errors.PackageInvalid` if package, manifest and graph
    contradict each other, :class:`~flightsw.errors.EngineUnavailable` if the card or its
    library is missing, in use or refuses the model.
    """
    arrangement: Arrangement = "batch" if settings.arrangement == "batch" else "spatial"
    model = package.read_compiled_model(arrangement)
    model_json = package.compiled_model(arrangement) / "model.json"
    runtime = open_runtime(settings)
    with ExitStack() as opened:
        opened.callback(runtime.context.release)
        try:
            loaded = runtime.context.load_model(str(model_json))
            drivers = []
            # One after another: the vendor's own code takes a lock around loading.
            for number in range(CORES if settings.arrangement == "instances" else 1):
                drivers.append(_open_driver(runtime, loaded, model, settings, number))
                opened.callback(drivers[-1].close)
        except runtime.faults as error:
            finding = error.__cause__
            if isinstance(finding, FlightError):  # the simulator's own, in full
                raise finding from finding.__cause__
            raise EngineUnavailable(
                runtime.device.name,
                f"did not load {model_json}: {type(error).__name__} {error}".strip(),
                "Release the card from other processes, or compile the model with its SDK version",
                fault=type(error).__name__,
            ) from error
        engine = DimcEngine(package, settings, model, runtime, drivers)
        opened.pop_all()
    return engine


class DimcEngine(ClosingEngine):
    """Implements :class:`~flightsw.engines.engine.Engine` on one model instance, or on four.

    With double buffering an answer comes two batches late, with four instances some more.

    The vendor's ``run`` blocks without a deadline, so a single instance that hangs holds ``push``
    until the caller's watchdog acts; several instances are abandoned after 60 s.
    """

    _CURE = CURE

    def __init__(
        self,
        package: ModelPackage,
        settings: DimcSettings,
        model: CompiledModel,
        runtime: Runtime,
        drivers: Sequence[InstanceDriver],
    ) -> None:
        super().__init__(_engine_info(package, settings, model, runtime, len(drivers)))
        self._runtime = runtime
        self._drivers = drivers
        self._twinned = settings.twin is not None
        self._log: CardLog | None = None
        if settings.temperature_log and not runtime.simulated:
            self._log = CardLog(settings.temperature_log)
        self._driver: InstanceDriver | InstancePool = drivers[0]
        if len(drivers) > 1:
            self._driver = InstancePool(drivers, _delay(settings), self._info.device)

    def push(self, tiles: Tiles) -> NDArray[np.int8] | None:
        """Run 1 to ``batch`` tiles; the logits of the batch that is due, if there is one."""
        self._info.require_fit(tiles)
        side = self._info.tile_size
        logits = np.empty((len(tiles), side, side, len(self._info.classes)), np.int8)
        with self._closing_on_failure():
            return self._driver.push(tiles.view(np.int8), logits)

    def flush(self) -> Iterator[NDArray[np.int8]]:
        """Logits of the batches still in flight, pushed out by empty frames."""
        while self._driver.busy:
            with self._closing_on_failure():
                logits = self._driver.push_out()
            if logits is not None:
                yield logits

    def readings(self) -> CardReadings | None:
        """What the simulated card did; of a real one, the temperature that its log gives."""
        injected = self._runtime.injected_celsius()
        if not self._runtime.simulated:
            measured = self._log.celsius() if self._log else None
            celsius = measured if injected is None else injected
            return CardReadings(None, None, None, None, celsius)
        histories = [driver.instance.history for driver in self._drivers]
        history, now_ns = MeanHistory(histories), monotonic_ns()
        measured = history.temperature_celsius(now_ns) if self._twinned else None
        return CardReadings(
            busy_ns=history.busy_ns,
            span_ns=history.span_ns,
            energy_joules=history.energy_joules(now_ns) if self._twinned else None,
            power_watts=history.power_watts(now_ns) if self._twinned else None,
            temperature_celsius=measured if injected is None else injected,
            pauses_ns=history.pauses_ns,
        )

    @property
    def _busy(self) -> bool:
        return self._driver.busy

    def _release(self) -> None:
        if self._log:
            self._log.close()
        if isinstance(self._driver, InstancePool):
            self._driver.close()
        with suppress(*self._runtime.faults):  # a card that is gone has nothing to release
            self._runtime.context.release()
        for driver in self._drivers:
            driver.close()


def _open_driver(
    runtime: Runtime,
    loaded: simulator.Model,
    model: CompiledModel,
    settings: DimcSettings,
    number: int,
) -> InstanceDriver:
    """Instance ``number`` on its own connection."""
    instances = settings.arrangement == "instances"
    sub_devices = model.input.shape[0] if settings.arrangement == "batch" else 1
    connection = runtime.context.device_connect(runtime.device, sub_devices)
    return open_driver(
        lambda **properties: connection.load_model_instance(
            loaded,
            num_sub_devices=sub_devices,
            aipu_cores=1 if instances else CORES,
            double_buffer=int(settings.double_buffer),
            **properties,
        ),
        model,
        _delay(settings),
        subject=_device_name(runtime) + (f", instance {number + 1}" if instances else ""),
        faults=runtime.faults,
        dma_buffers=settings.dma_buffers == "auto",
    )


def _delay(settings: DimcSettings) -> int:
    """Frames between a push and its answer on one instance."""
    return _DOUBLE_BUFFER_DELAY if settings.double_buffer else 0


def _device_name(runtime: Runtime) -> str:
    return runtime.device.name + (" (simulator)" if runtime.simulated else "")


def _engine_info(
    package: ModelPackage,
    settings: DimcSettings,
    model: CompiledModel,
    runtime: Runtime,
    instances: int,
) -> EngineInfo:
    stands_in = runtime.simulated and settings.twin is not None and not settings.twin.compute
    return EngineInfo(
        name="dimc",
        tag="axelera",
        device=_device_name(runtime),
        precision="int8",
        batch=model.input.unpadded_shape[0] * instances,
        tile_size=package.tile_size,
        stride=package.stride,
        bands=package.bands,
        classes=package.classes,
        input=Quantisation(model.input.scale, model.input.zero_point),
        output=Quantisation(model.output.scale, model.output.zero_point),
        temperature=package.temperature,
        model_id=STAND_IN if stands_in else package.model_id,
        thread_priority=settings.thread_priority,
        simulated=runtime.simulated,
    )
