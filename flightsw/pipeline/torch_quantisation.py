"""The quantisation tables looked up by torch: on CUDA, with the same bytes as on the CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from flightsw.engines.engine import Tiles
from flightsw.errors import EngineUnavailable
from flightsw.pipeline.cuda_lookup import HALF, cuda_lookup, torch_lookup

_SUBJECT: Final = 'pipeline.device = "cuda"'
_BITS: Final[dict[int, Any]] = {1: np.int8, 2: np.int16, 4: np.int32}
"""Values of any dtype are copied bit by bit, as integers of their size in bytes."""


def open_cuda_quantiser(tables: Tiles) -> TorchQuantiser:
    """A quantiser on CUDA; raises :class:`EngineUnavailable` if CUDA does not answer."""
    if not torch.cuda.is_available():
        cure = "Set pipeline.device to auto or cpu"
        raise EngineUnavailable(_SUBJECT, "is unavailable: no CUDA device answers", cure)
    try:
        return TorchQuantiser(tables, torch.device("cuda"))
    except RuntimeError as error:  # no memory left on the device, say
        cause = " ".join(str(error).split())[:200]
        cure = "Free the GPU, or set pipeline.device to auto or cpu"
        raise EngineUnavailable(_SUBJECT, f"is unavailable ({cause})", cure) from error


class TorchQuantiser:
    """Looks the tables up with torch, int8, float16 or float32, all bands and pieces together.

    Pinned memory and its own stream, so that it overlaps with what the GPU decodes meanwhile.
    """

    windows: Final = None  # one launch, or two if panels meet

    def __init__(self, tables: Tiles, device: torch.device) -> None:
        bits = tables.view(_BITS[tables.itemsize])
        there = torch.from_numpy(np.roll(bits, HALF, axis=1)).to(device)  # in the order of int16
        self._look_up = cuda_lookup(there) if there.is_cuda else torch_lookup(there)
        self._stream: torch.cuda.Stream | None = None
        if there.is_cuda:
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._numbers = _Pair(torch.int16, device)
        self._values = _Pair(there.dtype, device)

    def __call__(self, pieces: Sequence[NDArray[np.uint16]], out: Tiles) -> None:
        """Quantise ``(bands, rows, width)`` one below the other into ``out`` of any strides."""
        bands, _, width = pieces[0].shape
        with torch.cuda.stream(self._stream):  # None: no stream, the CPU
            self._numbers.reshape(bands, len(out), width)
            self._values.reshape(len(out), width, bands)
            bits = [piece.view(np.int16) for piece in pieces]
            np.concatenate(bits, axis=1, out=self._numbers.here.numpy())
            self._numbers.there.copy_(self._numbers.here, non_blocking=True)
            self._look_up(self._numbers.there, self._values.there)
            self._values.here.copy_(self._values.there, non_blocking=True)
        if self._stream:
            self._stream.synchronize()
        np.copyto(out, self._values.here.numpy().view(out.dtype))


class _Pair:
    """A tensor in pinned memory and one on the device, of one shape, as small as possible."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self._memory = torch.empty(0, dtype=dtype), torch.empty(0, dtype=dtype, device=device)
        self.here, self.there = self._memory

    def reshape(self, *shape: int) -> None:
        """Give both this shape, contiguous; their content is lost."""
        here, there = self._memory
        count = math.prod(shape)
        if count > len(here):
            here = torch.empty(count, dtype=here.dtype, pin_memory=there.is_cuda)
            there = torch.empty(count, dtype=there.dtype, device=there.device)
            self._memory = here, there
        self.here, self.there = here[:count].view(shape), there[:count].view(shape)
