from __future__ import annotations

from typing import Any

import pytest

from telecommands.dashboard.forms import Argument, filled_in, forms
from telecommands.dictionary import TELECOMMANDS
from telecommands.ground.errors import UsageError

NOW = 1_800_000_000 * 10**9


def _argument(telecommand: str, name: str) -> Argument:
    form = next(form for form in forms() if form.name == telecommand)
    return next(one for one in form.args if one.name == name)


def test_every_telecommand_is_a_form_and_hazards_are_marked() -> None:
    assert [form.name for form in forms()] == list(TELECOMMANDS)
    hazardous = {form.name for form in forms() if form.hazardous}
    assert {"SET_MODE", "SHUT_DOWN", "DELETE_PRODUCT"} <= hazardous
    assert "PING" not in hazardous


@pytest.mark.parametrize(
    ("telecommand", "name", "fields"),
    [
        ("PROCESS_SCENE", "priority", {"type": "integer", "min": 0, "max": 9, "default": 5}),
        ("PROCESS_SCENE", "scene", {"type": "text", "required": True, "max_length": 512}),
        ("PROCESS_SCENE", "fusion", {"type": "choice", "choices": ("blend", "or")}),
        ("PROCESS_SCENE", "products", {"type": "choices", "default": ("geotiff", "report")}),
        ("PROCESS_SCENE", "deadline", {"type": "time", "unit": "ms", "required": False}),
        ("SET_HOUSEKEEPING_RATE", "period_s", {"type": "number", "unit": "s", "min": 0.1}),
        ("CANCEL_JOB", "job", {"type": "text", "pattern": "^[A-Za-z0-9_.:-]+$"}),
        ("SET_PARAMETER", "value", {"type": "json", "required": True}),
        ("SCHEDULE", "telecommand", {"type": "json"}),
    ],
)
def test_an_argument_has_its_type_range_and_default(
    telecommand: str, name: str, fields: dict[str, Any]
) -> None:
    argument = _argument(telecommand, name)
    assert {field: getattr(argument, field) for field in fields} == fields


@pytest.mark.parametrize("at", [1_900_000_000_000, 1_900_000_000_000.0, "2030-03-17T17:46:40Z"])
def test_times_become_nanoseconds(at: Any) -> None:
    args = {"at": at, "telecommand": {"name": "PING"}}
    assert filled_in("SCHEDULE", args, NOW)["at"] == 1_900_000_000 * 10**9


def test_a_span_counts_from_now() -> None:
    args = filled_in("SCHEDULE", {"at": "+30s", "telecommand": {"name": "PING"}}, NOW)
    assert args["at"] == NOW + 30 * 10**9


@pytest.mark.parametrize(
    ("name", "args", "cause"),
    [
        ("SET_HOUSEKEEPING_RATE", {"period_s": 0}, "period_s"),
        ("PROCESS_SCENE", {}, "scene"),
        ("PING", {"more": 1}, "more"),
        ("NONSENSE", {}, "NONSENSE"),
        ("SCHEDULE", {"at": "soon", "telecommand": {"name": "PING"}}, "soon"),
        ("SCHEDULE", {"at": 1e300, "telecommand": {"name": "PING"}}, "at"),
        ("SCHEDULE", {"at": "+1s", "telecommand": {"name": "SET_MODE", "args": {}}}, "mode"),
    ],
)
def test_what_does_not_fit_is_refused_in_the_dictionarys_words(
    name: str, args: dict[str, Any], cause: str
) -> None:
    with pytest.raises(UsageError, match=cause):
        filled_in(name, args, NOW)
