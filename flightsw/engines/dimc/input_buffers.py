"""The buffers in which a frame's tiles wait for the card: host memory, or DMA buffers."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flightsw.dimc.tensors import TensorInfo

SYSTEM_HEAP: Final = Path("/dev/dma_heap/system")
"""Pages that the card reads by DMA; it exists if the kernel and its permissions allow it."""

# linux/dma-heap.h: _IOWR('H', 0, {u64 length, u32 fd, u32 fd_flags, u64 heap_flags}).
_ALLOCATE: Final = 0xC018_4800
_ALLOCATION: Final = struct.Struct("=QIIQ")
# linux/dma-buf.h: _IOW('b', 0, {u64 flags}).
_SYNC: Final = 0x4008_6200
_SYNC_FLAGS: Final = struct.Struct("=Q")
_SYNC_WRITE: Final = 2
_SYNC_END: Final = 4


class HostBuffer:
    """One padded input tensor, int8, in a plain array; its padding holds the zero point.

    ``argument`` is what ``run`` takes.
    """

    def __init__(self, tensor: TensorInfo) -> None:
        self.argument: NDArray[np.int8] = np.full(tensor.shape, tensor.zero_point, np.int8)

    @contextmanager
    def writing(self) -> Iterator[NDArray[np.int8]]:
        """The array."""
        yield self.argument

    def close(self) -> None:
        """Nothing to give back."""


class DmaBuffer:
    """The same in a Linux DMA buffer: ``argument`` is its file descriptor.

    Raises :class:`OSError` if the kernel has no such heap, or refuses it.
    """

    def __init__(self, tensor: TensorInfo) -> None:
        self.argument = _allocate(tensor.size)
        with ExitStack() as opened:
            opened.callback(self.close)
            memory = mmap.mmap(self.argument, tensor.size)  # unmapped with the last view of it
            self._array: NDArray[np.int8] = np.ndarray(tensor.shape, np.int8, buffer=memory)
            with self.writing() as array:
                array.fill(tensor.zero_point)
            opened.pop_all()

    @contextmanager
    def writing(self) -> Iterator[NDArray[np.int8]]:
        """The array, while the caches of CPU and card are synchronised."""
        fcntl.ioctl(self.argument, _SYNC, _SYNC_FLAGS.pack(_SYNC_WRITE))
        try:
            yield self._array
        finally:
            fcntl.ioctl(self.argument, _SYNC, _SYNC_FLAGS.pack(_SYNC_WRITE | _SYNC_END))

    def close(self) -> None:
        """Give the file descriptor back; may be called again."""
        fd, self.argument = self.argument, -1
        if fd >= 0:
            os.close(fd)


def open_dma_buffers(tensor: TensorInfo, count: int) -> list[DmaBuffer]:
    """``count`` buffers; raises :class:`OSError` and leaves none if one is refused."""
    with ExitStack() as opened:
        buffers = []
        for _ in range(count):
            buffers.append(DmaBuffer(tensor))
            opened.callback(buffers[-1].close)
        opened.pop_all()
    return buffers


def _allocate(length: int) -> int:
    device = os.open(SYSTEM_HEAP, os.O_RDONLY | os.O_CLOEXEC)
    try:
        request = bytearray(_ALLOCATION.pack(length, 0, os.O_RDWR | os.O_CLOEXEC, 0))
        fcntl.ioctl(device, _ALLOCATE, request)
    finally:
        os.close(device)
    fd: int = _ALLOCATION.unpack(request)[1]
    return fd
