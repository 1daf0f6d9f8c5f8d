"""What the host's processor computes exactly."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Final

_CPUINFO: Final = Path("/proc/cpuinfo")
_DOT_PRODUCTS: Final = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
_ARM: Final = frozenset({"aarch64", "arm64"})


def sums_int8_products_exactly(cpuinfo: Path = _CPUINFO, machine: str | None = None) -> bool:
    """Whether INT8 libraries add products in 32 bits here; False if that is not known.

    x86 without a dot-product instruction adds pairs of products in 16 bits (``pmaddubsw``), which
    saturate (oneDNN developer guide, "Nuances of int8 computations").  ARM widens before it adds.
    ``cpuinfo`` is the kernel's list of processor flags; ``machine`` that of
    :func:`platform.machine`.
    """
    if (machine or platform.machine()) in _ARM:
        return True
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return False
    flags = [line.partition(":")[2].split() for line in lines if line.startswith("flags")]
    return bool(flags) and all(_DOT_PRODUCTS.intersection(one) for one in flags)
