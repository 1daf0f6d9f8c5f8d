"""What the host's processor computes exactly, and what it computes fast."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Final

_CPUINFO: Final = Path("/proc/cpuinfo")
_DOT_PRODUCTS: Final = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
_BFLOAT16: Final = frozenset({"avx512_bf16", "amx_bf16", "bf16"})  # the last one is ARM's
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
    return _all_cores_have(_DOT_PRODUCTS, cpuinfo)


def multiplies_bfloat16(cpuinfo: Path = _CPUINFO) -> bool:
    """Whether bfloat16 has instructions here; False if that is not known.

    Without them a step of training takes eight times as long as in float32 (AMD EPYC with AVX2,
    2026-11-29).
    """
    return _all_cores_have(_BFLOAT16, cpuinfo)


def _all_cores_have(wanted: frozenset[str], cpuinfo: Path) -> bool:
    """Whether each core has one of these flags of the kernel's list."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return False
    listed = [line for line in lines if line.startswith(("flags", "Features"))]
    flags = [line.partition(":")[2].split() for line in listed]
    return bool(flags) and all(wanted.intersection(one) for one in flags)
