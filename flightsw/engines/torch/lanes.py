"""Lanes: the buffers and the recorded network that one batch in flight needs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from torch import nn

from flightsw.engines.engine import Tiles
from flightsw.engines.torch.devices import Device, Queue, QueueMark, QueueT
from flightsw.model.network import cause_of

_log: Final = structlog.get_logger(__name__)

CUDA_LANES: Final = 2
"""One computes while the other lane's tiles and answers are copied."""

_ANSWER_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.0002
_SIGNS: Final = ("out of memory", "ALLOC_FAILED", "can't allocate memory")
"""How the CUDA runtime, cuDNN and cuBLAS, and torch on the CPU report too little memory."""


@dataclass(frozen=True)
class BatchForm:
    """Shape and arithmetic of a batch: ``batch`` tiles of ``tile_size`` squared."""

    batch: int
    tile_size: int
    bands: int
    classes: int
    dtype: torch.dtype


class Lane:
    """Takes a batch to the device, through the network, and back.

    Copies run in the lane's own queue, so that they overlap with the other lanes' computing;
    all lanes compute in one queue.
    """

    def __init__(
        self, device: Device[QueueT], network: nn.Module, form: BatchForm, computing: QueueT
    ) -> None:
        self.batch = form.batch
        self.device_name = device.name
        pixels = (form.batch, form.tile_size, form.tile_size)
        self._host_input = device.host_buffer((*pixels, form.bands), form.dtype)
        self._host_output = device.host_buffer((*pixels, form.classes), form.dtype)
        self._input = source = device.device_buffer(self._host_input)
        self._output = answer = device.device_buffer(self._host_output)
        self._copying: Queue = device.queue()
        self._computing: Queue = computing
        self._weights = network  # a CUDA graph reads them, but does not keep them
        self._tiles = 0
        self._done: QueueMark = self._copying.mark()

        def work() -> None:
            # NHWC viewed as NCHW is what torch calls channels last: no copy.
            answer.copy_(network(source.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))

        with torch.inference_mode():
            self._recorded = device.record(work, computing)

    @torch.inference_mode()
    def start(self, tiles: Tiles) -> None:
        """Start 1 to ``batch`` tiles; the lane's last answer must have been taken."""
        self._tiles = len(tiles)
        # After a short batch lie tiles of an earlier batch: computed again, and not answered.
        np.copyto(self._host_input[: len(tiles)].numpy(), tiles)
        self._copying.copy(self._input, self._host_input)
        self._computing.after(self._copying)
        self._computing.run(self._recorded)
        self._copying.after(self._computing)
        self._copying.copy(self._host_output, self._output)
        self._done = self._copying.mark()

    def answer(self) -> NDArray[np.float32]:
        """Logits of the tiles started last, in newly allocated memory.

        Raises ``RuntimeError`` with what went wrong on the device, or after 30 s without answer.
        """
        deadline = time.monotonic() + _ANSWER_SECONDS
        while not self._done.query():
            if time.monotonic() > deadline:
                raise RuntimeError(f"no answer within {_ANSWER_SECONDS:g} s")
            time.sleep(_POLL_SECONDS)
        answer = self._host_output[: self._tiles].to(torch.float32, copy=True)
        return np.asarray(answer.numpy())


def lanes_on(
    device: Device[QueueT], network: nn.Module, form: BatchForm, count: int = CUDA_LANES
) -> tuple[Lane, ...]:
    """``count`` lanes of the network, moved to the device; raises ``RuntimeError``.

    All compute in one queue.
    """
    placed, computing = device.place(network.to(form.dtype)), device.queue()
    return tuple(Lane(device, placed, form, computing) for _ in range(count))


def open_largest(
    form: BatchForm,
    open_lanes: Callable[[BatchForm], tuple[Lane, ...]],
    too_large: Callable[[RuntimeError], bool],
) -> tuple[Lane, ...]:
    """Lanes of ``form.batch`` tiles, or of the batch halved while the refusal is ``too_large``.

    Raises the ``RuntimeError`` of the last try, also if not even one tile fits.
    """
    while True:
        try:
            return open_lanes(form)
        except RuntimeError as error:
            if form.batch == 1 or not too_large(error):
                raise
            cause = cause_of(error)
        _log.warning("batch halved", batch=form.batch, because=cause)
        torch.cuda.empty_cache()  # only here: the error no longer holds the buffers
        form = replace(form, batch=form.batch // 2)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether memory was too small, also below a later error: a broken capture adds another."""
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in _SIGNS):
            return True
        error = error.__context__
    return False
