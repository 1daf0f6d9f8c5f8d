from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsw.commanding.parameters import ParameterStore, _checked, parameter_handlers
from telecommands.dictionary import PARAMETERS, Code, Value
from telecommands.refusal import Refusal
from tests.unit.flightsw.commanding.harness import Harness, stage_texts

FUSION, PERIOD, RATE = "processing.fusion", "housekeeping.period_s", "commanding.rate_per_second"
SELF_TEST = "processing.self_test"


def test_every_parameter_has_its_default_and_its_default_is_allowed(harness: Harness) -> None:
    store = ParameterStore(harness.state)
    assert [(one.name, one.value, one.default) for one in store.values().parameters] == [
        (name, parameter.default, parameter.default) for name, parameter in PARAMETERS.items()
    ]
    for name, parameter in PARAMETERS.items():
        assert _checked(name, parameter, parameter.default) == parameter.default


def test_a_value_is_kept_over_restarts_until_its_default_is_restored(harness: Harness) -> None:
    store = ParameterStore(harness.state)
    assert store.set(FUSION, "blend").value == "blend"
    assert store.set(RATE, 5).default == 200
    assert store.set(SELF_TEST, value=False).value is False
    harness.power_cut()
    store = ParameterStore(harness.state)
    assert (store.text(FUSION), store.number(RATE), store.value(SELF_TEST)) == ("blend", 5, False)
    store.set(FUSION, None)
    assert store.text(FUSION) == "or"
    harness.power_cut()
    assert ParameterStore(harness.state).text(FUSION) == "or"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (PERIOD, 0.09),
        (PERIOD, 3601),
        (PERIOD, math.nan),
        (PERIOD, math.inf),
        (PERIOD, "10"),
        (PERIOD, True),
        (RATE, 1.5),
        (RATE, True),
        (RATE, 0),
        (RATE, 10**40),
        (FUSION, "and"),
        (FUSION, 1),
        (SELF_TEST, 1),
    ],
)
def test_a_value_of_another_type_or_out_of_range_changes_nothing(
    harness: Harness, name: str, value: Value
) -> None:
    store = ParameterStore(harness.state)
    with pytest.raises(Refusal) as caught:
        store.set(name, value)
    assert caught.value.code is Code.BAD_ARGUMENTS
    assert name in caught.value.cause
    assert caught.value.cure
    assert store.value(name) == PARAMETERS[name].default


def test_an_unknown_parameter_is_refused(harness: Harness) -> None:
    store = ParameterStore(harness.state)
    for ask in (store.value, store.values, lambda name: store.set(name, None)):
        with pytest.raises(Refusal) as caught:
            ask("no.such")
        assert caught.value.code is Code.UNKNOWN_PARAMETER


def test_a_whole_number_will_do_for_a_fraction(harness: Harness) -> None:
    value = ParameterStore(harness.state).set(PERIOD, 2).value
    assert (value, type(value)) == (2.0, float)


def test_a_change_is_reported_with_its_new_value_and_its_client(harness: Harness) -> None:
    told_changes: list[tuple[str, Value, str]] = []
    store = ParameterStore(harness.state, lambda *change: told_changes.append(change))
    store.set(PERIOD, 1.5, "alice")
    store.set(PERIOD, None)
    assert told_changes == [(PERIOD, 1.5, "alice"), (PERIOD, 10.0, "")]


def test_a_change_rolled_back_is_none(harness: Harness) -> None:
    def fail_to_set() -> None:
        with harness.state.transaction():
            store.set(PERIOD, 1.5)
            raise ZeroDivisionError

    store = ParameterStore(harness.state)
    with pytest.raises(ZeroDivisionError):
        fail_to_set()
    assert store.number(PERIOD) == 10.0


@pytest.mark.parametrize("kept", [b"", b"\xc1", msgspec.msgpack.encode(-1), b"\xa1x", b"\xc0"])
def test_a_kept_value_that_is_no_longer_allowed_counts_as_absent(
    harness: Harness, kept: bytes
) -> None:
    harness.state.set_fact(f"parameter.{PERIOD}", kept)
    assert ParameterStore(harness.state).number(PERIOD) == 10.0


def test_text_and_numbers_are_not_taken_for_each_other(harness: Harness) -> None:
    store = ParameterStore(harness.state)
    with pytest.raises(TypeError):
        store.number(FUSION)
    with pytest.raises(TypeError):
        store.text(PERIOD)


@given(st.sampled_from(sorted(PARAMETERS)), st.booleans() | st.integers() | st.floats() | st.text())
def test_what_is_allowed_is_of_the_defaults_type_and_in_its_range(name: str, value: Value) -> None:
    parameter = PARAMETERS[name]
    try:
        allowed: Any = _checked(name, parameter, value)
    except Refusal:
        return
    assert type(allowed) is type(parameter.default)
    assert allowed == value
    if parameter.low is not None and parameter.high is not None:
        assert parameter.low <= allowed <= parameter.high


def test_the_telecommands_read_and_write_parameters(harness: Harness) -> None:
    store = ParameterStore(harness.state)
    harness.handle(parameter_handlers(store))
    assert stage_texts(harness.send("SET_HOUSEKEEPING_RATE", {"period_s": 2.5}))[-1] == "COMPLETED"
    stages = harness.send("GET_PARAMETER", {"name": PERIOD})
    assert stages[-1].data["parameters"][0] == {"name": PERIOD, "value": 2.5, "default": 10.0}
    stages = harness.send("SET_PARAMETER", {"name": PERIOD, "value": None})
    assert stages[-1].data["parameters"][0]["value"] == 10.0
    assert stage_texts(harness.send("SET_PARAMETER", {"name": PERIOD, "value": 0})) == [
        "REJECTED BAD_ARGUMENTS"
    ]
    assert len(harness.send("GET_PARAMETER")[-1].data["parameters"]) == len(PARAMETERS)
