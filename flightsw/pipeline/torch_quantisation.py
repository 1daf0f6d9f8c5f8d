"""The quantisation tables looked up by torch: on CUDA, with the same bytes as on the CPU."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from flightsw.errors import EngineUnavailable
from flightsw.pipeline.quantisation import DIGITAL_NUMBERS, SATURATED


def open_cuda_quantiser(tables: NDArray[np.int8]) -> TorchQuantiser:
    """A quantiser on CUDA; raises :class:`EngineUnavailable` where none answers."""
    if not torch.cuda.is_available():
        cure = "Set pipeline.device to auto or cpu"
        raise EngineUnavailable("pipeline.device cuda", "no CUDA device answers", cure)
    return TorchQuantiser(tables, torch.device("cuda"))


class TorchQuantiser:
    """Looks the tables up with torch, on CUDA in one gather for all bands."""

    def __init__(self, tables: NDArray[np.int8], device: torch.device) -> None:
        self._device = device
        self._flat = torch.from_numpy(tables).to(device).reshape(-1)
        self._starts = torch.arange(len(tables), device=device, dtype=torch.int32) * DIGITAL_NUMBERS

    def __call__(self, digital_numbers: NDArray[np.uint16], out: NDArray[np.int8]) -> None:
        """Quantise; torch has no gather by uint16, so the bits travel as int16."""
        bits = torch.from_numpy(np.ascontiguousarray(digital_numbers).view(np.int16))
        numbers = bits.to(self._device).to(torch.int32) & SATURATED
        places = numbers.permute(1, 2, 0) + self._starts
        out[...] = self._flat[places].cpu().numpy()
