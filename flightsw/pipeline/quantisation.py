"""Digital numbers to the card's INT8, exactly, by one table of 65,536 entries a band.

The table is the rule (``shared`` contract: round half to even in float64);
OpenCV looks it up on the CPU, torch on CUDA.  Same table, same bytes.
"""

from __future__ import annotations

from typing import Final, Literal, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from flightsw.engines.engine import EngineInfo
from flightsw.errors import EngineUnavailable
from flightsw.scene.scene import SceneMetadata

DIGITAL_NUMBERS: Final = 65_536
SATURATED: Final = 65_535
NO_DATA: Final = 0


def quantisation_table(
    offset: int, quantification: float, scale: float, zero_point: int
) -> NDArray[np.int8]:
    """INT8 value of every digital number: ``(65536,)``.

    ``clip(round_half_even((DN + offset) / quantification / scale + zero_point), -128, 127)``
    in float64.  DN 0 (no data) counts as reflectance 0, DN 65,535 (saturated)
    as the largest value.
    """
    numbers = np.arange(DIGITAL_NUMBERS, dtype=np.float64)
    reflectance = (numbers + offset) / quantification
    reflectance[NO_DATA] = 0.0
    table = np.clip(np.rint(reflectance / scale + zero_point), -128, 127)
    table[SATURATED] = 127
    return table.astype(np.int8)


def scene_tables(scene: SceneMetadata, engine: EngineInfo) -> NDArray[np.int8]:
    """One table a band, in the engine's band order: ``(bands, 65536)``."""
    return np.stack(
        [
            quantisation_table(
                scene.offsets[band],
                scene.quantification,
                engine.input_scale,
                engine.input_zero_point,
            )
            for band in engine.bands
        ]
    )


class Quantiser(Protocol):
    """Turns digital numbers uint16 ``(bands, rows, width)`` into int8 ``(rows, width, bands)``."""

    def __call__(self, digital_numbers: NDArray[np.uint16], out: NDArray[np.int8]) -> None:
        """Quantise whole rows into ``out``, whose pixels lie side by side in each row."""
        ...


class CpuQuantiser:
    """Looks the tables up with OpenCV: a third of the time of torch's fastest CPU gather.

    Its planes are made once: fresh memory for every row costs three times the lookup.
    """

    def __init__(self, tables: NDArray[np.int8]) -> None:
        self._tables = [table.reshape(1, DIGITAL_NUMBERS) for table in tables]
        self._planes: NDArray[np.int8] = np.empty((len(tables), 0), dtype=np.int8)

    def __call__(self, digital_numbers: NDArray[np.uint16], out: NDArray[np.int8]) -> None:
        """Quantise; OpenCV releases the interpreter while it looks up."""
        bands, rows, width = digital_numbers.shape
        if rows * width > self._planes.shape[1]:
            self._planes = np.empty((bands, rows * width), dtype=np.int8)
        planes = self._planes[:, : rows * width].reshape(bands, rows, width)
        for band, table, plane in zip(digital_numbers, self._tables, planes, strict=True):
            cv2.LUT(band, table, dst=plane)
        cv2.merge([*planes], dst=out)


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


def open_quantiser(tables: NDArray[np.int8], device: Literal["auto", "cpu", "cuda"]) -> Quantiser:
    """The quantiser for ``device``; ``auto`` prefers CUDA.

    Raises :class:`EngineUnavailable` when CUDA is asked for and absent.
    """
    present = torch.cuda.is_available()
    if device == "cuda" and not present:
        cure = "Set pipeline.device to auto or cpu"
        raise EngineUnavailable("pipeline.device cuda", "no CUDA device answers", cure)
    if device == "cpu" or not present:
        return CpuQuantiser(tables)
    return TorchQuantiser(tables, torch.device("cuda"))
