"""Drives one model instance: its input buffers, and the frame that each answer belongs to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flightsw.dimc.compiled_model import CompiledModel
from flightsw.dimc.simulator.instance import ModelInstance
from flightsw.dimc.tensors import copy_pixels, unpadded
from flightsw.engines.dimc.input_buffers import DmaBuffer, HostBuffer, open_dma_buffers
from flightsw.errors import InferenceFailed

CURE: Final = "Open the engine again; refresh the card (axdevice --refresh) if that fails too"


@dataclass(frozen=True)
class _Frame:
    """The array for the answer (None: it is dropped), and what the card reads until then."""

    logits: NDArray[np.int8] | None
    argument: Any


def open_driver(
    load: Callable[..., ModelInstance],
    model: CompiledModel,
    delay: int,
    *,
    subject: str,
    faults: tuple[type[Exception], ...],
    dma_buffers: bool,
) -> InstanceDriver:
    """Driver of the instance that ``load`` loads with the properties given to it.

    ``delay`` counts the frames between a push and its answer.  With ``dma_buffers`` the card
    reads its input by DMA if kernel and runtime support it, else from host memory.
    """
    if dma_buffers:
        with suppress(OSError, InferenceFailed, *faults):
            return _open_dma_driver(load, model, delay, subject, faults)
    host = [HostBuffer(model.input) for _ in range(delay + 1)]
    return InstanceDriver(load(), model, host, subject, faults)


def _open_dma_driver(
    load: Callable[..., ModelInstance],
    model: CompiledModel,
    delay: int,
    subject: str,
    faults: tuple[type[Exception], ...],
) -> InstanceDriver:
    # Answers come into host memory, for reasons in docs/decisions/0010-dma-buffers.md.
    with ExitStack() as opened:
        buffers = open_dma_buffers(model.input, delay + 1)
        for buffer in buffers:
            opened.callback(buffer.close)
        instance = load(input_dmabuf=1)
        opened.callback(instance.release)
        driver = InstanceDriver(instance, model, buffers, subject, faults)
        driver.push_out()  # a runtime may take the property, and refuse the first frame
        opened.pop_all()
    return driver


class InstanceDriver:
    """Runs frames of 1 to ``batch`` tiles on one instance, by one thread at a time.

    There is one buffer more than there are calls between a frame and its answer (two with double
    buffering, else none).  Faults of the runtime become
    :class:`~flightsw.errors.InferenceFailed` about ``subject``; the frame that the
    next answer belongs to is then unknown, so a driver that failed is not used again.

    The vendor's ``run`` blocks without a deadline; the simulator's waits end after 30 s.
    """

    def __init__(
        self,
        instance: ModelInstance,
        model: CompiledModel,
        buffers: Sequence[HostBuffer | DmaBuffer],
        subject: str,
        faults: tuple[type[Exception], ...],
    ) -> None:
        self.instance = instance
        self._subject = subject
        self._faults = faults
        self._input = model.input
        # The card may still read a buffer until its answer is out.
        self._buffers = deque(buffers)
        self._in_place = all(isinstance(buffer, HostBuffer) for buffer in buffers)
        self._in_flight = deque([_Frame(None, None)] * (len(buffers) - 1))
        self._padded_answer = np.full(model.output.shape, model.output.zero_point, np.int8)
        self._answer = unpadded(self._padded_answer, model.output.padding)

    @property
    def busy(self) -> bool:
        """Whether an answer is outstanding."""
        return any(frame.logits is not None for frame in self._in_flight)

    def push(self, tiles: NDArray[np.int8], logits: NDArray[np.int8]) -> NDArray[np.int8] | None:
        """Run ``tiles``; the ``logits`` of the frame that is due, filled in, if there are any.

        Both are without padding and equally long.  If the model's input has no padding, the
        card reads ``tiles`` in place: they must not change before their answer is out.
        """
        if self._in_place and tiles.shape == self._input.shape and tiles.flags.c_contiguous:
            return self._run(_Frame(logits, tiles))
        buffer = self._buffers[0]
        self._buffers.rotate(-1)
        with buffer.writing() as padded:
            inside = unpadded(padded, self._input.padding)
            copy_pixels(inside[: len(tiles)], tiles)
            inside[len(tiles) :] = self._input.zero_point
        return self._run(_Frame(logits, buffer.argument))

    def push_out(self) -> NDArray[np.int8] | None:
        """Run a frame whose answer is dropped; the logits of the frame that is due, as ``push``."""
        return self._run(_Frame(None, self._buffers[0].argument))

    def close(self) -> None:
        """Give the buffers back."""
        for buffer in self._buffers:
            buffer.close()

    def _run(self, frame: _Frame) -> NDArray[np.int8] | None:
        try:
            self.instance.run([frame.argument], [self._padded_answer])
        except self._faults as error:
            raise InferenceFailed(
                self._subject,
                f"failed during inference: {type(error).__name__} {error}".strip(),
                CURE,
                fault=type(error).__name__,
            ) from error
        self._in_flight.append(frame)
        due = self._in_flight.popleft()
        if due.logits is not None:
            copy_pixels(due.logits, self._answer[: len(due.logits)])
        return due.logits
