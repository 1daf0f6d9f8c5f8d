"""The quantisation tables looked up by torch: on CUDA, with the same bytes as on the CPU."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from flightsw.engines.engine import Tiles
from flightsw.errors import EngineUnavailable
from flightsw.pipeline.cuda_lookup import HALF, Lookup, look_up_by_torch, open_cuda_lookup

_LANES: Final = 2
_BITS: Final = {1: np.int8, 2: np.int16, 4: np.int32}
"""Values travel as integers of their own size: every dtype is copied bit by bit."""


def open_cuda_quantiser(tables: Tiles) -> TorchQuantiser:
    """A quantiser on CUDA; raises :class:`EngineUnavailable` where none answers."""
    if not torch.cuda.is_available():
        cure = "Set pipeline.device to auto or cpu"
        raise EngineUnavailable("pipeline.device cuda", "no CUDA device answers", cure)
    return TorchQuantiser(tables, torch.device("cuda"), open_cuda_lookup(tables.itemsize))


class TorchQuantiser:
    """Looks the tables up with torch, all bands of a call at once.

    Two lanes, each with pinned memory and a stream of its own: what one begins
    overlaps with what the other finishes, and both with other streams' decoding.
    """

    def __init__(
        self, tables: Tiles, device: torch.device, look_up: Lookup = look_up_by_torch
    ) -> None:
        bits = tables.view(_BITS[tables.itemsize])
        by_int16 = np.roll(bits, HALF, axis=1)  # from -32,768, as int16 counts
        self._tables = torch.from_numpy(by_int16).to(device)
        self._dtype = tables.dtype
        self._look_up = look_up
        self._idle = deque(_Lane(self._tables) for _ in range(_LANES))
        self._begun: deque[_Lane] = deque()

    def __call__(self, digital_numbers: NDArray[np.uint16], out: Tiles) -> None:
        """Quantise uint16 ``(bands, rows, width)`` into ``(rows, width, bands)`` of any strides."""
        self.begin(digital_numbers)
        self.finish(out)

    def begin(self, digital_numbers: NDArray[np.uint16]) -> None:
        """Copy the numbers and start on them; at most two may be begun and not finished."""
        lane = self._idle.popleft()
        lane.begin(digital_numbers, self._tables, self._look_up)
        self._begun.append(lane)

    def finish(self, out: Tiles) -> None:
        """Wait for what was begun first, and fill ``out`` with it."""
        lane = self._begun.popleft()
        lane.finish(out)
        self._idle.append(lane)


class _Lane:
    """Memory for one call on its way, on both sides, as large as the largest so far."""

    def __init__(self, tables: torch.Tensor) -> None:
        self._cuda = tables.is_cuda
        self._stream = torch.cuda.Stream(tables.device) if self._cuda else None
        self._staged = _Pair(torch.int16, tables.device)
        self._values = _Pair(tables.dtype, tables.device)

    def begin(
        self, digital_numbers: NDArray[np.uint16], tables: torch.Tensor, look_up: Lookup
    ) -> None:
        bands, rows, width = digital_numbers.shape
        with torch.cuda.stream(self._stream):
            staged, numbers = self._staged.shaped(bands, rows, width)
            self._result, values = self._values.shaped(rows, width, bands)
            np.copyto(staged.numpy(), digital_numbers.view(np.int16))
            numbers.copy_(staged, non_blocking=True)
            look_up(tables, numbers, values)
            self._result.copy_(values, non_blocking=True)

    def finish(self, out: Tiles) -> None:
        if self._stream:
            self._stream.synchronize()
        np.copyto(out, self._result.numpy().view(out.dtype))


class _Pair:
    """A pinned tensor on the host and one on the device, which grow together."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self._host = torch.empty(0, dtype=dtype)
        self._there = torch.empty(0, dtype=dtype, device=device)

    def shaped(self, *shape: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Both in this shape, contiguous; what they held before is lost."""
        count = int(np.prod(shape))
        if count > len(self._host):
            pinned = self._there.is_cuda
            self._host = torch.empty(count, dtype=self._host.dtype, pin_memory=pinned)
            self._there = torch.empty_like(self._there[:0].resize_(0)).resize_(count)
        return self._host[:count].view(shape), self._there[:count].view(shape)
