"""Whether a value of housekeeping is within the limits that the dictionary declares."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from msgspec import inspect


class Level(Enum):
    """Of a value against its limits."""

    NOMINAL = "nominal"
    WARNING = "warning"
    CRITICAL = "critical"


def level_of(field: inspect.Field, value: Any) -> Level:
    """``warning_low``, ``warning_high``, ``critical_low`` and ``critical_high`` of its Meta.

    A value at its limit is beyond it; what is no number has no limits.
    """
    return level_within(extra_of(field.type), value)


def level_within(limits: Mapping[str, Any], value: Any) -> Level:
    """The same for limits that were read already."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return Level.NOMINAL
    for level in (Level.CRITICAL, Level.WARNING):
        low, high = (limits.get(f"{level.value}_{end}") for end in ("low", "high"))
        if (low is not None and value <= low) or (high is not None and value >= high):
            return level
    return Level.NOMINAL


def extra_of(kind: inspect.Type) -> Mapping[str, Any]:
    """The type's unit and limits, wherever in it they stand."""
    if isinstance(kind, inspect.Metadata):
        return {**extra_of(kind.type), **(kind.extra or {})}
    if isinstance(kind, inspect.UnionType):
        merged: dict[str, Any] = {}
        for member in kind.types:
            merged.update(extra_of(member))
        return merged
    return {}
