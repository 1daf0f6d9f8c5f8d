"""Whether a CUDA device is there, asked of NVIDIA's driver alone: torch takes 200 MB."""

from __future__ import annotations

import ctypes


def cuda_answers() -> bool:
    """Whether the driver is there and has a device."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    found = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    return found and count.value > 0
