"""A model on the simulated card: checks the arrays of a call, runs a frame, fills the answer in."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flightsw.dimc.errors import (
    ConnectionError,  # noqa: A004  (the vendor's name)
    InternalError,
    InvalidArgument,
    Pending,
)
from flightsw.dimc.simulator.frames import FrameQueue
from flightsw.dimc.simulator.objects import Object
from flightsw.dimc.simulator.twin import CardHistory
from flightsw.dimc.tensors import TensorInfo, unpadded

DEADLINE_SECONDS: Final = 30.0
"""Longest wait for a frame; the twin's slowest batch of four takes under 10 s."""


class ModelInstance(Object):
    """A model loaded onto its own cores.  Used by one thread at a time.

    With double buffering the outputs of call k are those of the inputs of
    call k - 2, and the first two calls leave them untouched; two more calls
    with any input return the last two frames.
    """

    def __init__(
        self,
        connection: Object,
        inputs: Sequence[TensorInfo],
        outputs: Sequence[TensorInfo],
        frames: FrameQueue,
        held: ExitStack,
    ) -> None:
        super().__init__(connection)
        self._inputs = inputs
        self._outputs = outputs
        self._frames = frames
        self._held = held
        # Filling 3 MB of padding costs more than everything else here: an array is filled once.
        self._last_filled: NDArray[np.int8] | None = None
        self._running = threading.Lock()

    @property
    def history(self) -> CardHistory:
        """What its cores did since it was loaded; not part of the vendor's API."""
        return self._frames.history

    def run(self, inputs: list[NDArray[np.int8]], outputs: list[NDArray[np.int8]]) -> None:
        """Run one frame and fill ``outputs`` in place.

        They are filled with the zero point the first time an array is passed, and then only
        with the pixels of the answer.
        Arrays are int8, C-contiguous and shaped as ``Model.inputs()`` and
        ``Model.outputs()`` say.  Returns when the frame that is due is complete.
        Raises ``InvalidArgument`` for unfit arrays, ``Pending`` while another
        thread is in ``run``, ``ConnectionError`` after :data:`DEADLINE_SECONDS`, and
        ``InternalError`` if the computing failed; a failed frame is lost.
        """
        submitted_ns = time.monotonic_ns()
        if not self._running.acquire(blocking=False):
            raise Pending("another call of run() on this instance has not returned")
        try:
            self._require_alive()
            _check("inputs", inputs, self._inputs)
            _check("outputs", outputs, self._outputs)
            if not outputs[0].flags.writeable:
                raise InvalidArgument("outputs[0] cannot be written to")
            self._run(inputs[0], outputs[0], submitted_ns)
        finally:
            self._running.release()

    def _run(
        self, padded_tiles: NDArray[np.int8], padded_logits: NDArray[np.int8], submitted_ns: int
    ) -> None:
        (tiles,), (logits,) = self._inputs, self._outputs
        try:
            self._frames.submit(unpadded(padded_tiles, tiles.padding), submitted_ns)
            if not self._frames.full:
                return
            if padded_logits is not self._last_filled:
                padded_logits.fill(logits.zero_point)
                self._last_filled = padded_logits
            self._frames.take(unpadded(padded_logits, logits.padding), DEADLINE_SECONDS)
        except TimeoutError as error:
            raise ConnectionError(str(error)) from error
        except RuntimeError as error:
            raise InternalError(str(error)) from error

    def _give_back(self) -> None:
        # A running call in another thread still uses the frames.
        if not self._running.acquire(timeout=DEADLINE_SECONDS):
            raise Pending("run() has not returned")
        try:
            self._frames.abandon(DEADLINE_SECONDS)
        finally:
            self._running.release()
            self._held.close()


def _check(name: str, arrays: Sequence[NDArray[np.int8]], expected: Sequence[TensorInfo]) -> None:
    if len(arrays) != len(expected):
        raise InvalidArgument(f"{name}: expected {len(expected)} arrays, found {len(arrays)}")
    for index, (array, info) in enumerate(zip(arrays, expected, strict=True)):
        label = f"{name}[{index}]"
        if not isinstance(array, np.ndarray):
            raise InvalidArgument(f"{label}: expected an array, found {type(array).__name__}")
        if array.dtype != info.dtype:
            raise InvalidArgument(f"{label}: expected {info.dtype}, found {array.dtype}")
        if array.shape != info.shape:
            raise InvalidArgument(f"{label}: expected shape {info.shape}, found {array.shape}")
        if not array.flags.c_contiguous:
            raise InvalidArgument(f"{label} is not C-contiguous")
