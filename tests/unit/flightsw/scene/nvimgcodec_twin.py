"""What nvImageCodec 0.9 offers flightsw, with its names and arguments, decoding on the CPU.

Names, argument names, defaults and what is keyword-only are those of the
docstrings of the distribution nvidia-nvimgcodec-cu12 0.9.0.20 (module
nvidia.nvimgcodec); ``test_gpu_jp2.py`` compares them if it is installed.
"""

from __future__ import annotations

import enum
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import glymur
import numpy as np
from numpy.typing import NDArray


class BackendKind(enum.Enum):
    CPU_ONLY = 1
    GPU_ONLY = 2


class ColorSpec(enum.Enum):
    UNCHANGED = 0
    SRGB = 1


class Backend:
    def __init__(self, backend_kind: BackendKind, load_hint: float = 1.0) -> None:
        self.backend_kind = backend_kind


class Region:
    def __init__(self, start_y: int, start_x: int, end_y: int, end_x: int) -> None:
        self.start, self.end = (start_y, start_x), (end_y, end_x)


class DecodeParams:
    def __init__(
        self,
        apply_exif_orientation: bool = True,
        color_spec: ColorSpec = ColorSpec.SRGB,
        allow_any_depth: bool = False,
    ) -> None:
        self.color_spec, self.allow_any_depth = color_spec, allow_any_depth


class CodeStream:
    """The library refuses the boxes of real products; the twin takes bare codestreams alone."""

    def __init__(self, array: NDArray[np.uint8], bitstream_offset: int | None = None) -> None:
        if bytes(array[:4]) != b"\xff\x4f\xff\x51" or bytes(array[-2:]) != b"\xff\xd9":
            raise RuntimeError("Failed to get image info")
        self.array = array
        self.region: Region | None = None

    def get_sub_code_stream(self, image_idx: int = 0, region: Region | None = None) -> CodeStream:
        part = CodeStream(self.array)
        part.region = region
        return part


class Image:
    """Pixels ``(rows, columns, channels)``; only a copy in CPU memory is an array."""

    def __init__(self, pixels: NDArray[Any], on_device: bool) -> None:
        self._pixels, self._on_device = pixels, on_device

    def cpu(self) -> Image:
        return Image(self._pixels, on_device=False)

    @property
    def __array_interface__(self) -> dict[str, Any]:
        if self._on_device:
            raise RuntimeError("the pixels are in device memory")
        return self._pixels.__array_interface__


@dataclass
class Faults:
    """What the GPU does wrong; ``batches`` is what it was asked for, ``folder`` its memory."""

    folder: Path
    fails_from_row: int = 1 << 30
    spoils: bool = False
    error: Exception | None = None
    batches: list[list[tuple[int, int, int, int]]] = field(default_factory=list)


def twin_library(faults: Faults) -> ModuleType:
    """The module ``nvidia.nvimgcodec``, with these faults."""

    class Decoder:
        def __init__(
            self,
            device_id: int = -1,
            max_num_cpu_threads: int = 0,
            backends: Sequence[Backend] | None = None,
            options: str = "",
        ) -> None:
            assert backends
            assert [one.backend_kind for one in backends] == [BackendKind.GPU_ONLY]

        def decode(
            self,
            srcs: Sequence[CodeStream],
            *,
            images: Sequence[Image] | None = None,
            params: DecodeParams | None = None,
            cuda_stream: int = 0,
        ) -> list[Image | None]:
            if faults.error:
                raise faults.error
            regions = [source.region for source in srcs]
            faults.batches.append([(*one.start, *one.end) for one in regions if one])
            return [self._decode(source, params or DecodeParams()) for source in srcs]

        def _decode(self, source: CodeStream, params: DecodeParams) -> Image | None:
            assert source.region
            (top, left), (bottom, right) = source.region.start, source.region.end
            if top >= faults.fails_from_row:
                return None
            try:
                pixels = glymur.Jp2k(self._stored(source))[top:bottom, left:right]
            except glymur.lib.openjp2.OpenJPEGLibraryError:
                return None
            if not params.allow_any_depth:
                pixels = (pixels >> 8).astype(np.uint8)
            channels = 3 if params.color_spec is ColorSpec.SRGB else 1
            pixels = np.repeat(pixels.reshape(bottom - top, right - left, 1), channels, axis=2)
            return Image(pixels ^ 1 if faults.spoils else pixels, on_device=True)

        def _stored(self, source: CodeStream) -> str:
            path = faults.folder / f"{zlib.crc32(source.array.tobytes())}.j2k"
            if not path.exists():
                path.write_bytes(source.array.tobytes())
            return str(path)

    library = ModuleType("nvidia.nvimgcodec")
    vars(library).update(
        {
            one.__name__: one
            for one in (Backend, BackendKind, ColorSpec, Region, DecodeParams, CodeStream, Decoder)
        }
    )
    return library
