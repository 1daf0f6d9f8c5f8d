"""Figures as people read them, in the messages and tables of both sides."""

from __future__ import annotations


def size(count: float) -> str:
    """Bytes with a decimal unit: ``1.5 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """Seconds as ``42 s``, ``3:07 min``, ``2:05 h`` or ``3 d 02 h``."""
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.0f} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    if whole < 86_400:
        return f"{whole // 3600}:{whole % 3600 // 60:02d} h"
    return f"{whole // 86_400} d {whole % 86_400 // 3600:02d} h"


def percentage(share: float) -> str:
    """A share of 1 with three digits: ``25 %``."""
    return f"{100 * share:.3g} %"
