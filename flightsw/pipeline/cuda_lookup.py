"""The table lookup of a panel's row of tiles on CUDA: one kernel launch, or two with torch alone.

torch alone needs two, an addition and a gather, as it cannot index by 16-bit
numbers.  NVRTC, which comes with CUDA, compiles the few lines below; torch wraps it
as ``torch.cuda._compile_kernel`` (2.9 and later, needs CUDA's headers).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import structlog
import torch

from flightsw.scene.reflectance import DIGITAL_NUMBERS

Lookup = Callable[[torch.Tensor, torch.Tensor], None]
"""From int16 numbers ``(bands, rows, width)`` to values ``(rows, width, bands)``, contiguous."""

HALF: Final = DIGITAL_NUMBERS // 2
"""Index of number 0 in a band's table: as int16 they range from -32,768 to 32,767."""

_THREADS: Final = 256  # in a block; each looks up the bands of one pixel
_SOURCE: Final = """
typedef {value} Value;
extern "C" __global__ void look_up(
    const Value* tables, const short* numbers, Value* out, int pixels, int bands)
{{
    size_t pixel = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (pixel >= (size_t)pixels) return;
    for (int band = 0; band < bands; band++) {{
        int number = numbers[(size_t)band * pixels + pixel];
        out[pixel * bands + band] = tables[band * {size} + {half} + number];
    }}
}}
"""
_VALUES: Final = {1: "signed char", 2: "short", 4: "int"}  # by bytes: the bits are copied as is
_log: Final = structlog.get_logger(__name__)


def cuda_lookup(tables: torch.Tensor) -> Lookup:
    """Looks up in ``tables`` ``(bands, 65536)`` on CUDA, which begin with number -32,768."""
    try:
        kernel = _compiled(tables.itemsize)
    except (AttributeError, ImportError, OSError, RuntimeError) as error:
        _log.warning("the lookup takes two kernel launches instead of one", cause=str(error))
        return torch_lookup(tables)

    def look_up(numbers: torch.Tensor, out: torch.Tensor) -> None:
        bands, pixels = len(numbers), numbers[0].numel()
        blocks = -(-pixels // _THREADS)
        kernel((blocks, 1, 1), (_THREADS, 1, 1), [tables, numbers, out, pixels, bands])

    return look_up


def torch_lookup(tables: torch.Tensor) -> Lookup:
    """The same in two steps, on any device."""
    starts = torch.arange(len(tables), dtype=torch.int32) * DIGITAL_NUMBERS + HALF
    starts, flat = starts.to(tables.device), tables.view(-1)

    def look_up(numbers: torch.Tensor, out: torch.Tensor) -> None:
        places = torch.empty(out.shape, dtype=torch.int32, device=out.device)
        torch.add(numbers.permute(1, 2, 0), starts, out=places)
        torch.index_select(flat, 0, places.view(-1), out=out.view(-1))

    return look_up


def kernel_source(value_bytes: int) -> str:
    """The kernel ``look_up`` in CUDA C++ for values of 1, 2 or 4 bytes."""
    return _SOURCE.format(value=_VALUES[value_bytes], size=DIGITAL_NUMBERS, half=HALF)


@cache
def _compiled(value_bytes: int) -> Any:
    return torch.cuda._compile_kernel(kernel_source(value_bytes), "look_up")
