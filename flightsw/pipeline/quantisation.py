"""Digital numbers to what an engine takes, exactly, by one table of 65,536 entries a band.

The table is the rule (float64, halves to even); OpenCV looks it up on the CPU,
torch on CUDA.  Same table, same bytes.
"""

from __future__ import annotations

import ctypes
import zlib
from collections.abc import Sequence
from typing import Final, Literal, Protocol

import cv2
import numpy as np
import structlog
from numpy.typing import NDArray

from flightsw.engines.engine import EngineInfo, Tiles
from flightsw.errors import EngineUnavailable, InferenceFailed
from flightsw.host.cuda import cuda_answers
from flightsw.host.torch_library import require_torch
from flightsw.scene.reflectance import DIGITAL_NUMBERS, SATURATED, reflectance_table
from flightsw.scene.scene import SceneMetadata

_log: Final = structlog.get_logger(__name__)


def quantisation_table(
    offset: float, quantification: float, scale: float, zero_point: int
) -> NDArray[np.int8]:
    """INT8 value of every digital number: ``(65536,)``.

    ``clip(round_half_even((DN + offset) / quantification / scale + zero_point), -128, 127)``
    in float64.  DN 0 (no data) counts as reflectance 0, DN 65,535 (saturated)
    as the largest value.
    """
    reflectance = reflectance_table(offset, quantification, np.float64)
    table = np.clip(np.rint(reflectance / scale + zero_point), -128, 127)
    table[SATURATED] = 127
    return table.astype(np.int8)


def scene_tables(scene: SceneMetadata, engine: EngineInfo) -> Tiles:
    """One table a band, in the engine's band order and ``tile_dtype``: ``(bands, 65536)``."""
    return np.stack([_table(scene, engine, band) for band in engine.bands])


class TableGuard:
    """Finds out whether tables changed in memory after they were made: a flipped bit, say."""

    def __init__(self, tables: Tiles) -> None:
        self._tables = tables
        self._checksum = zlib.crc32(tables.data)

    def require_unchanged(self) -> None:
        """Raise :class:`InferenceFailed` if the tables are not what they were."""
        if zlib.crc32(self._tables.data) != self._checksum:
            raise InferenceFailed(
                "the quantisation tables",
                "changed in memory during the scene",
                "Process the scene again; the mask was not written",
            )


def _table(scene: SceneMetadata, engine: EngineInfo, band: str) -> Tiles:
    offset, quantification = scene.offsets[band], scene.quantification
    if engine.input is None:
        return reflectance_table(offset, quantification, engine.tile_dtype)
    return quantisation_table(offset, quantification, engine.input.scale, engine.input.zero_point)


class Quantiser(Protocol):
    """Turns digital numbers of whole bands into what the engine takes, its bands side by side."""

    @property
    def windows(self) -> int | None:
        """How many windows side by side it prefers at a time; None: all of a panel."""
        ...

    def __call__(self, pieces: Sequence[NDArray[np.uint16]], out: Tiles) -> None:
        """Quantise pieces that lie one below the other into ``out``.

        Each is uint16 ``(bands, rows, width)``; ``out`` is ``(rows, width, bands)`` with the rows
        of all, and its pixels lie side by side in each row.
        """
        ...


class CpuQuantiser:
    """Looks the tables up with OpenCV: a third of the time of torch's fastest CPU gather.

    Its planes are allocated once: new memory for every row costs three times the lookup.
    """

    windows: Final = 6  # fits a core's own cache, and half the queue's slack

    def __init__(self, tables: Tiles) -> None:
        self._tables = [table.reshape(1, DIGITAL_NUMBERS) for table in tables]
        self._planes: Tiles = np.empty((len(tables), 0), dtype=tables.dtype)

    def __call__(self, pieces: Sequence[NDArray[np.uint16]], out: Tiles) -> None:
        """Quantise; OpenCV releases the interpreter while it looks up."""
        top = 0
        for piece in pieces:
            bottom = top + piece.shape[1]
            self._look_up(piece, out[top:bottom])
            top = bottom

    def _look_up(self, digital_numbers: NDArray[np.uint16], out: Tiles) -> None:
        bands, rows, width = digital_numbers.shape
        if rows * width > self._planes.shape[1]:
            self._planes = np.empty((bands, rows * width), dtype=out.dtype)
        planes = self._planes[:, : rows * width].reshape(bands, rows, width)
        for band, table, plane in zip(digital_numbers, self._tables, planes, strict=True):
            cv2.LUT(band, table, dst=plane)
        cv2.merge([*planes], dst=out)


class _CpuAfterFailure:
    """Another quantiser until its device fails, then the CPU, which gives the same bytes."""

    def __init__(self, quantise: Quantiser, tables: Tiles) -> None:
        self._quantise = quantise
        self._tables: Tiles | None = tables

    @property
    def windows(self) -> int | None:
        return self._quantise.windows

    def __call__(self, pieces: Sequence[NDArray[np.uint16]], out: Tiles) -> None:
        try:
            self._quantise(pieces, out)
        except RuntimeError as error:  # torch has no narrower class for a device that fails
            if self._tables is None:
                raise
            _log.warning("digital numbers are quantised on the CPU from here", cause=_line(error))
            _give_up(self._quantise)
            self._quantise, self._tables = CpuQuantiser(self._tables), None
            self._quantise(pieces, out)


_GIVEN_UP: Final[list[Quantiser]] = []
"""Quantisers whose device failed: later scenes cannot trust the process's one CUDA context."""


def _give_up(quantise: Quantiser) -> None:
    """Keep it until the process ends: torch aborts if a failed device's memory is freed."""
    _GIVEN_UP.append(quantise)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(quantise))


def open_quantiser(tables: Tiles, device: Literal["auto", "cpu", "cuda"]) -> Quantiser:
    """The quantiser for ``device``; ``auto`` prefers CUDA.

    If CUDA fails in the middle of a scene, the CPU continues, and takes all later scenes of the
    process.  Raises :class:`EngineUnavailable` if CUDA is asked for and absent.
    """
    if device == "cpu" or _GIVEN_UP or (device == "auto" and not cuda_answers()):
        return CpuQuantiser(tables)
    try:
        require_torch("quantisation on CUDA")
        # Loaded only if it serves: torch takes 200 MB, and is an extra.
        from flightsw.pipeline.torch_quantisation import open_cuda_quantiser  # noqa: PLC0415

        return _CpuAfterFailure(open_cuda_quantiser(tables), tables)
    except EngineUnavailable as error:  # no torch, one that was built without CUDA, a full GPU
        if device == "cuda":
            raise
        _log.info("digital numbers are quantised on the CPU", cause=_line(error))
        return CpuQuantiser(tables)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
