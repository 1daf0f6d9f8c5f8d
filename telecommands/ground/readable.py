"""Times, sizes and answers as text for an operator."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final

from telecommands.dictionary import Stage, Verification
from telecommands.units import duration, percentage, size

_EARLIEST_NS: Final = 10**17  # 1973: a larger number in a time field is a time
# Words in the names of quantities.
_SIZES: Final = frozenset({"bytes", "size", "confirmed"})
_SHARES: Final = frozenset({"share", "clear", "contaminated"})
_DURATIONS: Final = frozenset({"s", "seconds"})

_EMPTY: Final = frozenset({"", "-"})
_WIDE: Final = 40  # characters of a cell


def utc(t: int) -> str:
    """UTC nanoseconds as ``2026-05-04T10:30:31.123Z``."""
    seconds, rest = divmod(t, 10**9)
    try:
        moment = datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OverflowError):
        return f"{t} ns"
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest // 10**6:03d}Z"


def stage_lines(verification: Verification) -> Iterator[str]:
    """A stage on one line, its data on the lines below."""
    head = f"{utc(verification.at)}  {verification.stage.value:<10}"
    yield "  ".join([head, *_details(verification)]).rstrip()
    if verification.stage.closes:
        yield from _data_lines(verification.data, "  ")


def value_text(name: str, value: Any) -> str:
    """One value as text; times as UTC, sizes, shares and durations with their unit."""
    if isinstance(value, Mapping):
        return "{" + pairs(value) + "}"
    if isinstance(value, (list, tuple)):
        return ",".join(value_text(name, item) for item in value) or "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return _number_text(name, value)
    return "-" if value is None else str(value)


def _number_text(name: str, value: float) -> str:
    """A number; the interface uses a name for one quantity only, so that it gives the unit."""
    words = set(re.split(r"[._]", name))
    if _names_time(name) and value > _EARLIEST_NS:
        return utc(int(value))
    if words & _SIZES:
        return size(value)
    if words & _SHARES:
        return percentage(value)
    if words & _DURATIONS:
        return duration(value) if value >= 60 else f"{value:.3g} s"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def pairs(data: Mapping[str, Any]) -> str:
    """``key=value`` on one line, without empty values."""
    return " ".join(
        f"{key}={value_text(key, value)}"
        for key, value in data.items()
        if value is not None and value not in ("", [], {})
    )


def table(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Records below their field names, in columns, the wide ones last.

    A field that is empty in all records is left out.
    """
    names = dict.fromkeys(name for record in records for name in record)
    columns = [[name, *(_cell(name, record) for record in records)] for name in names]
    columns = [column for column in columns if not _EMPTY.issuperset(column[1:])]
    columns.sort(key=lambda column: max(map(len, column)) > _WIDE)
    widths = [max(map(len, column)) for column in columns]
    for row in zip(*columns, strict=True):
        yield "  ".join(map(str.ljust, row, widths)).rstrip()


def _cell(name: str, record: Mapping[str, Any]) -> str:
    value = record.get(name)
    if name == "sha256":
        return f"{value:.12}…"
    # A parameter's name gives the unit of its value.
    quantity = str(record["name"]) if name in ("value", "default") and "name" in record else name
    return value_text(quantity, value)


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
    shown = {name: value for name, value in data.items() if value != ""}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        if isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
            yield f"{indent}{name}"
            yield from (f"{indent}  {line}" for line in table(value))
        else:
            yield f"{indent}{name:<{width}}  {value_text(name, value)}"


def _names_time(name: str) -> bool:
    return name in ("t", "at", "deadline") or name.endswith("_at")
