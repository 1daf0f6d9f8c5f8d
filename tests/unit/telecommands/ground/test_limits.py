"""Limits that are parameters: what telemetry and answers report of them replaces the defaults."""

from __future__ import annotations

import math
from typing import Any

import pytest
from msgspec import inspect

from telecommands.dictionary import (
    PARAMETERS,
    Event,
    Housekeeping,
    JobCounts,
    ProductCounts,
    Severity,
    Stage,
    Verification,
)
from telecommands.ground.arguments import fields_of
from telecommands.ground.limits import (
    FOLLOWED,
    Level,
    extra_of,
    level_of,
    limits_from,
    parameters_in,
)


def _declared(name: str) -> dict[str, Any]:
    kinds = {"jobs": JobCounts, "products": ProductCounts}
    record, _, inner = name.rpartition(".")
    kind = kinds.get(record, Housekeeping)
    field = next(one for one in fields_of(kind) if one.name == inner)
    return {key: value for key, value in extra_of(field.type).items() if key != "unit"}


def _card() -> inspect.Field:
    return next(one for one in fields_of(Housekeeping) if one.name == "card_temperature_c")


def _changed(name: object, value: object) -> Event:
    fields = {"name": name, "value": value}
    return Event(event="PARAMETER_CHANGED", severity=Severity.ACTIVITY, message="", fields=fields)


def _answer(name: str, data: dict[str, Any], stage: Stage = Stage.COMPLETED) -> Verification:
    return Verification(id="1", name=name, stage=stage, at=1, data=data)


@pytest.mark.parametrize("field", FOLLOWED)
def test_with_the_defaults_the_limits_are_those_of_the_dictionary(field: str) -> None:
    defaults = {name: parameter.default for name, parameter in PARAMETERS.items()}
    assert limits_from(field, defaults) == _declared(field)  # type: ignore[arg-type]


def test_a_changed_parameter_moves_the_limit() -> None:
    known = parameters_in(_changed("fdir.warm_c", 60))
    assert known == {"fdir.warm_c": 60.0}
    assert level_of(_card(), 61.0, known) is Level.WARNING
    assert level_of(_card(), 86.0, known) is Level.CRITICAL  # as declared
    assert level_of(_card(), 61.0) is Level.NOMINAL


@pytest.mark.parametrize("name", ["GET_PARAMETER", "SET_PARAMETER"])
def test_answers_report_parameters(name: str) -> None:
    values = [
        {"name": "fdir.hot_c", "value": 90.0, "default": 85.0},
        {"name": "processing.fusion", "value": "or", "default": "or"},
    ]
    assert parameters_in(_answer(name, {"parameters": values})) == {"fdir.hot_c": 90.0}


@pytest.mark.parametrize(
    "record",
    [
        _changed("fdir.warm_c", True),
        _changed("fdir.warm_c", "60"),
        _changed("fdir.warm_c", math.nan),
        _changed("housekeeping.period_s", 1.0),
        _changed(None, 60),
        _changed(["fdir.warm_c"], 60),
        _answer("GET_PARAMETER", {"parameters": 5}),
        _answer("GET_PARAMETER", {}, Stage.ACCEPTED),
        _answer("PING", {"parameters": []}),
    ],
)
def test_what_is_not_a_limit_changes_none(record: Event | Verification) -> None:
    assert parameters_in(record) == {}
