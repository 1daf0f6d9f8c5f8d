"""Torch as an engine: on CUDA, and on the CPU as the reference of all others."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from flightsw.config import TorchSettings
from flightsw.engines.closing_engine import ClosingEngine
from flightsw.engines.engine import CardReadings, EngineInfo, Precision, Tiles
from flightsw.engines.torch.devices import CudaDevice, HostDevice
from flightsw.engines.torch.lanes import BatchForm, Lane, is_out_of_memory, lanes_on, open_largest
from flightsw.engines.torch.network import choose_network
from flightsw.errors import EngineUnavailable, InferenceFailed
from flightsw.model.network import cause_of, for_inference
from flightsw.model.package import ModelPackage

_DTYPES: Final = {"fp16": torch.float16, "fp32": torch.float32}


def open_torch_engine(
    package: ModelPackage, settings: TorchSettings, device: Literal["cpu", "cuda"]
) -> TorchEngine:
    """Load the package's network, or ``settings.torchscript``, onto the device.

    On the CPU: FP32, one tile at a time, ``settings.threads`` threads, a setting that torch keeps
    for the whole process.  On CUDA: a graph of ``settings.batch`` tiles in ``settings.precision``
    (FP32 without TF32); too little device memory halves the batch.  TorchScript is code: use only
    a file that you trust.

    Raises :class:`EngineUnavailable` if the device, its memory or the network's file is
    missing, or settings do not fit (fields ``expected``, ``found``), and
    :class:`~flightsw.errors.PackageInvalid` if the package's own file is not its network.
    """
    name = f"torch-{device}"
    if device == "cuda" and not torch.cuda.is_available():
        cure = "Install NVIDIA's driver and torch with CUDA, or leave this engine out of the chain"
        raise EngineUnavailable(name, "is unavailable: no CUDA device answers", cure)
    chosen = choose_network(name, package, settings)
    precision: Precision = settings.precision if device == "cuda" else "fp32"
    form = BatchForm(
        batch=settings.batch if device == "cuda" else 1,
        tile_size=chosen.tile_size,
        bands=len(package.bands),
        classes=len(package.classes),
        dtype=_DTYPES[precision],
    )
    network = for_inference(chosen.network)

    def open_lanes(form: BatchForm) -> tuple[Lane, ...]:
        if device == "cuda":
            return lanes_on(CudaDevice(), network, form)
        return lanes_on(HostDevice(settings.threads), network, form, count=1)

    try:
        lanes = open_largest(form, open_lanes, is_out_of_memory)
    except RuntimeError as error:
        raise _did_not_start(name, form, error) from error
    info = EngineInfo(
        name=name,
        tag="torch",
        device=lanes[0].device_name,
        precision=precision,
        batch=lanes[0].batch,
        tile_size=chosen.tile_size,
        stride=chosen.stride,
        bands=package.bands,
        classes=package.classes,
        temperature=package.temperature,
        model_id=chosen.model_id,
    )
    return TorchEngine(info, lanes)


class TorchEngine(ClosingEngine):
    """Implements :class:`~flightsw.engines.engine.Engine` on one lane or several.

    With n lanes an answer comes n - 1 batches late.  A CUDA device that failed once does not answer
    again in this process.
    """

    _CURE = "Open the engine again; restart the service if that fails too"

    def __init__(self, info: EngineInfo, lanes: Sequence[Lane]) -> None:
        super().__init__(info)
        self._free = deque(lanes)
        self._in_flight: deque[Lane] = deque()

    def push(self, tiles: Tiles) -> NDArray[np.float32] | None:
        """Run 1 to ``batch`` tiles; the logits of the batch that is due, if there is one."""
        self._require_open()
        self._info.require_fit(tiles)
        with self._closing_on_failure():
            lane = self._free.popleft()
            lane.start(tiles)
            self._in_flight.append(lane)
            return None if self._free else self._oldest_answer()

    def flush(self) -> Iterator[NDArray[np.float32]]:
        """Logits of the batches still in flight."""
        self._require_open()
        while self._in_flight:
            with self._closing_on_failure():
                logits = self._oldest_answer()
            yield logits
            self._require_open()

    def readings(self) -> CardReadings | None:
        """Torch measures nothing."""
        return None

    def close(self) -> None:
        """Give the device's memory back; batches in flight are lost.  May be called again."""
        with suppress(RuntimeError):  # a device that failed has nothing to wait for
            for lane in self._in_flight:
                lane.answer()
        super().close()

    @property
    def _busy(self) -> bool:
        return bool(self._in_flight)

    def _oldest_answer(self) -> NDArray[np.float32]:
        lane = self._in_flight.popleft()
        logits = lane.answer()
        self._free.append(lane)
        if not np.isfinite(logits).all():
            raise FloatingPointError(f"an answer of {self._info.precision} holds NaN or infinity")
        return logits

    @contextmanager
    def _closing_on_failure(self) -> Iterator[None]:
        with super()._closing_on_failure():
            try:
                yield
            except (RuntimeError, FloatingPointError) as error:
                cause = f"failed during inference: {type(error).__name__} {cause_of(error)}"
                raise InferenceFailed(
                    self._info.device, cause, self._CURE, fault=type(error).__name__
                ) from error

    def _release(self) -> None:
        self._free.clear()
        self._in_flight.clear()
        with suppress(RuntimeError):  # as in close
            torch.cuda.empty_cache()  # for other engines than torch's; without CUDA it does nothing


def _did_not_start(name: str, form: BatchForm, error: RuntimeError) -> EngineUnavailable:
    if is_out_of_memory(error):
        return EngineUnavailable(
            name,
            f"has too little memory for one tile of {form.tile_size} x {form.tile_size}",
            "Free device memory, or set a smaller torch.tile_size",
        )
    return EngineUnavailable(
        name,
        f"did not start: {cause_of(error)}",
        "Check that the torch build, driver and device are compatible",
        fault=type(error).__name__,
    )
