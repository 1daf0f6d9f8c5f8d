"""Tensors of a compiled model: their description, and copies in and out of their padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray


@dataclass
class TensorInfo:
    """One input or output of a compiled model, with the fields of the vendor's class.

    ``shape`` is padded NHWC; ``padding`` is (begin, end) an axis, as
    ``numpy.pad`` takes it, empty for none.  Real value = (int8 -
    ``zero_point``) * ``scale``.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.int8))
    name: str = ""
    padding: list[tuple[int, int]] = field(default_factory=list)
    scale: float = 1.0
    zero_point: int = 0

    @property
    def size(self) -> int:
        """Bytes of the padded tensor."""
        return prod(self.shape) * self.dtype.itemsize

    @property
    def unpadded_shape(self) -> tuple[int, ...]:
        """The shape that the network itself sees."""
        if not self.padding:
            return self.shape
        return tuple(
            length - begin - end
            for length, (begin, end) in zip(self.shape, self.padding, strict=True)
        )


def unpadded(array: NDArray[np.int8], padding: Sequence[tuple[int, int]]) -> NDArray[np.int8]:
    """View of ``array`` without its padding."""
    return array[tuple(slice(begin, -end if end else None) for begin, end in padding)]


_WORDS: Final = {2: np.uint16, 4: np.uint32, 8: np.uint64}


def copy_pixels(target: NDArray[np.int8], source: NDArray[np.int8]) -> None:
    """Copy NHWC int8 pixels of one shape between views, either of which may be padded.

    A pixel of a few channels in a wide padding is too short for numpy's inner
    loop (0.5 ms a tile), so it moves as one word, or channel by channel: 0.5 ms for 13 channels,
    which without padding move together in 0.08 ms.
    """
    channels = target.shape[-1]
    word = _WORDS.get(channels)
    if target.flags.c_contiguous and source.flags.c_contiguous:
        target[...] = source
    elif word is not None:
        target.view(word)[...] = source.view(word)
    else:
        for channel in range(channels):
            target[..., channel] = source[..., channel]
