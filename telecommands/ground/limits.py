"""Whether a value of housekeeping is within its limits: the dictionary's, or a parameter's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

import msgspec
from msgspec import inspect

from telecommands.dictionary import (
    Event,
    GetParameter,
    ParameterValues,
    Record,
    SetParameter,
    Stage,
    Verification,
)

FOLLOWED: Final[Mapping[str, Mapping[str, tuple[str, float]]]] = MappingProxyType(
    {
        "card_temperature_c": {
            "warning_high": ("fdir.warm_c", 1),
            "critical_high": ("fdir.hot_c", 1),
        },
        "disk_free_bytes": {
            "warning_low": ("storage.reserve_bytes", 2),
            "critical_low": ("storage.reserve_bytes", 1),
        },
        "jobs.queued": {
            "warning_high": ("processing.waiting_jobs", 0.8),
            "critical_high": ("processing.waiting_jobs", 1),
        },
        "products.queued_bytes": {"warning_high": ("storage.quota_bytes", 0.8)},
    }
)
"""Limits that are a parameter times a factor, by the field of housekeeping."""

_PARAMETERS: Final = frozenset(
    parameter for limits in FOLLOWED.values() for parameter, _ in limits.values()
)
_NONE: Final[Mapping[str, float]] = MappingProxyType({})


class Level(Enum):
    """Level of a value relative to its limits."""

    NOMINAL = "nominal"
    WARNING = "warning"
    CRITICAL = "critical"


def level_of(field: inspect.Field, value: Any, parameters: Mapping[str, float] = _NONE) -> Level:
    """``warning_low``, ``warning_high``, ``critical_low`` and ``critical_high`` of its Meta.

    ``parameters`` that are known replace those that follow them.  A value at its limit is beyond
    it; a value that is not a number has no limits.
    """
    return level_within({**extra_of(field.type), **limits_from(field.name, parameters)}, value)


def limits_from(field: str, parameters: Mapping[str, float]) -> dict[str, float]:
    """The limits of a field of housekeeping (``jobs.queued``) that these parameters give."""
    return {
        limit: parameters[parameter] * factor
        for limit, (parameter, factor) in FOLLOWED.get(field, {}).items()
        if parameter in parameters
    }


def parameters_in(record: Record) -> dict[str, float]:
    """Values of parameters that are limits, as far as an event or an answer reports them."""
    if isinstance(record, Event) and record.event == "PARAMETER_CHANGED":
        return dict(_usable(record.fields.get("name"), record.fields.get("value")))
    if (
        isinstance(record, Verification)
        and record.stage is Stage.COMPLETED
        and record.name in (GetParameter.NAME, SetParameter.NAME)
    ):
        try:
            values = msgspec.convert(record.data, ParameterValues)
        except msgspec.ValidationError:  # of a newer service
            return {}
        return dict(pair for one in values.parameters for pair in _usable(one.name, one.value))
    return {}


def _usable(name: Any, value: Any) -> Iterator[tuple[str, float]]:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(name, str) and name in _PARAMETERS and is_number and math.isfinite(value):
        yield name, float(value)


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
