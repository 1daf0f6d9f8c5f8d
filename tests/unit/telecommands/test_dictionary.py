from __future__ import annotations

import math
from typing import get_args

import msgspec
import pytest

from flightsw import errors
from telecommands.codec import encode
from telecommands.dictionary import (
    EVENTS,
    PACKETS,
    PARAMETERS,
    TELECOMMANDS,
    Code,
    EventName,
    JobState,
    Record,
    Stage,
    Telecommand,
    Topic,
)

_DESIGNED = [
    "PING", "PROCESS_SCENE", "CANCEL_JOB", "LIST_JOBS", "LIST_SCENES", "SET_MODE", "SELF_TEST",
    "GET_PARAMETER", "SET_PARAMETER", "SET_HOUSEKEEPING_RATE", "ARM", "SCHEDULE", "UNSCHEDULE",
    "LIST_SCHEDULE", "LIST_PRODUCTS", "HOLD_PRODUCT", "RELEASE_PRODUCT", "PRIORITISE_PRODUCT",
    "DELETE_PRODUCT", "OPEN_CONTACT", "CLOSE_CONTACT", "BEGIN_UPLINK", "UPLINK_CHUNK", "END_UPLINK",
    "DELETE_UPLINK", "LIST_UPLINKS", "STAGE_MODEL", "ACTIVATE_MODEL", "ROLL_BACK_MODEL",
    "REPORT_LATEST", "ROTATE_KEY", "RESTART", "SHUT_DOWN",
]  # fmt: skip


def test_the_telecommands_are_those_of_the_design() -> None:
    assert list(TELECOMMANDS) == _DESIGNED
    for name, kind in TELECOMMANDS.items():
        assert name == kind.NAME
        assert kind.__doc__ != Telecommand.__doc__


def test_every_code_says_what_it_means() -> None:
    for code in Code:
        assert code == code.name == code.value
        assert code.doc
        assert Code.__members__[code.value] is code


def test_every_failure_of_the_processing_chain_has_its_code() -> None:
    chain = (errors.SceneError, errors.ModelError, errors.EngineError, errors.ProductError)
    for family in chain:
        for kind in family.__subclasses__():
            assert kind.code in Code.__members__, kind
    assert errors.StateUnavailable.code in Code.__members__


def test_what_is_read_only_runs_in_safe_mode_and_is_not_hazardous() -> None:
    for kind in TELECOMMANDS.values():
        if kind.READ_ONLY:
            assert kind.IN_SAFE
            assert not kind.HAZARDOUS
    assert [name for name, kind in TELECOMMANDS.items() if not kind.IN_SAFE] == ["PROCESS_SCENE"]


def test_four_stages_and_rejection_close_a_telecommand() -> None:
    assert {stage.value for stage in Stage if stage.closes} == {
        "REJECTED",
        "COMPLETED",
        "FAILED",
        "TIMED_OUT",
        "CANCELLED",
    }
    assert [state.value for state in JobState if not state.ended] == ["QUEUED", "RUNNING"]


def test_every_topic_has_a_packet_and_every_event_a_meaning() -> None:
    assert tuple(PACKETS) == get_args(Topic)
    assert tuple(EVENTS) == get_args(EventName)
    assert all(kind.doc for kind in EVENTS.values())


def test_parameters_have_defaults_within_their_ranges() -> None:
    for name, parameter in PARAMETERS.items():
        assert parameter.doc
        if isinstance(parameter.default, str):
            assert parameter.default in parameter.choices
        elif not isinstance(parameter.default, bool):
            low, high = parameter.low, parameter.high
            assert low is not None and high is not None, name  # noqa: PT018
            assert low <= parameter.default <= high
            assert math.isfinite(low) and math.isfinite(high)  # noqa: PT018


@pytest.mark.parametrize("kind", [*TELECOMMANDS.values(), *PACKETS.values()])
def test_every_record_refuses_unknown_fields(kind: type[Record]) -> None:
    frame = encode({"surely_no_field": 1})
    with pytest.raises(msgspec.ValidationError, match=r"unknown field|missing required"):
        msgspec.msgpack.decode(frame, type=kind)
    assert kind.__struct_config__.forbid_unknown_fields
    assert kind.__struct_config__.frozen
