"""Whether a value of housekeeping is within the limits that the dictionary declares."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from msgspec import inspect


class Level(Enum):
    """Level of a value relative to its limits."""

    NOMINAL = "nominal"
    WARNING = "warning"
    CRITICAL = "critical"


def level_of(field: inspect.Field, value: Any) -> Level:
    """``warning_low``, ``warning_high``, ``critical_low`` and ``critical_high`` of its Meta.

    A value at its limit is beyond it; a value that is not a number has no limits.
    """
    return level_within(extra_of(field.type), value)


def level_within(limits: Mapping[str, Any], value: Any) -> Level:
    """The same for limits that have already been read."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return Level.NOMINAL
    for level in (Level.CRITICAL, Level.WARNING):
        low, high = (limits.get(f"{level.value}_{end}") for end in ("low", "high"))
        if (low is not None and value <= low) or (high is not None and value >= high):
            return level
    return Level.NOMINAL


def extra_of(kind: inspect.Type) -> Mapping[str, Any]:
    """Unit and limits of a type, at any depth in it."""
    if isinstance(kind, inspect.Metadata):
        return {**extra_of(kind.type), **(kind.extra or {})}
    if isinstance(kind, inspect.UnionType):
        merged: dict[str, Any] = {}
        for member in kind.types:
            merged.update(extra_of(member))
        return merged
    return {}
