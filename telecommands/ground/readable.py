"""Times, sizes and answers as text for an operator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, Final

from telecommands.dictionary import Stage, Verification

_EARLIEST_NS: Final = 10**17  # 1973: a larger number in a time field is a time


def utc(t: int) -> str:
    """UTC nanoseconds as ``2026-05-04T10:30:31.123Z``."""
    seconds, rest = divmod(t, 10**9)
    try:
        moment = datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OverflowError):
        return f"{t} ns"
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest // 10**6:03d}Z"


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


def stage_lines(verification: Verification) -> Iterator[str]:
    """A stage on one line, its data on the lines below."""
    head = f"{utc(verification.at)}  {verification.stage.value:<10}"
    yield "  ".join([head, *_details(verification)]).rstrip()
    if verification.stage.closes:
        yield from _data_lines(verification.data, "  ")


def value_text(name: str, value: Any) -> str:
    """One value as text; times as UTC."""
    if isinstance(value, Mapping):
        return "{" + pairs(value) + "}"
    if isinstance(value, (list, tuple)):
        return ",".join(value_text(name, item) for item in value) or "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and value > _EARLIEST_NS and _names_time(name):
        return utc(value)
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else str(value)


def pairs(data: Mapping[str, Any]) -> str:
    """``key=value`` on one line, without empty values."""
    return " ".join(
        f"{key}={value_text(key, value)}"
        for key, value in data.items()
        if value is not None and value not in ("", [], {})
    )


def _details(verification: Verification) -> Iterator[str]:
    if verification.code is not None:
        yield verification.code.value
    if verification.cause:
        yield verification.cause + (f". {verification.cure}" if verification.cure else "")
    if verification.stage is Stage.PROGRESS:
        yield f"{verification.step} of {verification.of}"
    if verification.data and not verification.stage.closes:
        yield pairs(verification.data)


def _data_lines(data: Mapping[str, Any], indent: str) -> Iterator[str]:
    width = max((len(name) for name in data), default=0)
    for name, value in data.items():
        if isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
            yield f"{indent}{name}"
            yield from (f"{indent}  {pairs(item)}" for item in value)
        else:
            yield f"{indent}{name:<{width}}  {value_text(name, value)}"


def _names_time(name: str) -> bool:
    return name in ("t", "at", "deadline") or name.endswith("_at")
