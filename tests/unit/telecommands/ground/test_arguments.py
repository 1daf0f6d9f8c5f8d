"""Words of a command line become the dictionary's types, or an error that says which does not."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from telecommands.dictionary import TELECOMMANDS
from telecommands.ground.arguments import read_arguments, read_times
from telecommands.ground.errors import UsageError
from telecommands.groundsim.listing import all_telecommands, one_telecommand

NOW = 1_700_000_000_000_000_000


def test_each_word_takes_the_type_that_the_dictionary_declares() -> None:
    args = read_arguments(
        "PROCESS_SCENE",
        ["scene=7", "products=geotiff,report", "priority=7", "ground_sample_distance=20",
         "fusion=null", "deadline=+30s"],
        NOW,
    )  # fmt: skip
    assert args == {
        "scene": "7",
        "products": ["geotiff", "report"],
        "priority": 7,
        "ground_sample_distance": 20,
        "fusion": None,
        "deadline": NOW + 30 * 10**9,
    }
    contact = read_arguments("OPEN_CONTACT", ["bytes=2e9", "seconds=60"], NOW)
    assert contact == {"bytes": 2_000_000_000, "seconds": 60.0}
    assert isinstance(contact["bytes"], int)


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("5", 5), ("0.5", 0.5), ("blend", "blend"), ("null", None)],
)
def test_a_parameters_value_is_read_as_the_narrowest_type(text: str, value: object) -> None:
    found = read_arguments("SET_PARAMETER", ["name=x", f"value={text}"], NOW)["value"]
    assert found == value
    assert type(found) is type(value)


def test_a_telecommand_inside_a_schedule_is_json() -> None:
    pairs = ["at=2026-05-04T10:00:00Z", 'telecommand={"name":"PING","args":{}}']
    args = read_arguments("SCHEDULE", pairs, NOW)
    moment = datetime(2026, 5, 4, 10, tzinfo=timezone.utc)
    assert args["at"] == int(moment.timestamp()) * 10**9
    assert args["telecommand"] == {"name": "PING", "args": {}}


@pytest.mark.parametrize(
    ("name", "pairs", "said"),
    [
        ("PROCES_SCENE", [], "the nearest are PROCESS_SCENE"),
        ("ping", [], "the nearest are PING"),
        ("PROCESS_SCENE", ["scne=a"], "the nearest are scene"),
        ("PROCESS_SCENE", ["scene"], "not key=value"),
        ("PROCESS_SCENE", ["scene=a", "scene=b"], "twice"),
        ("PROCESS_SCENE", ["scene=a", "area="], "PROCESS_SCENE area is empty"),
        ("PROCESS_SCENE", [], "PROCESS_SCENE needs the argument scene"),
        ("PROCESS_SCENE", ["scene=a", "priority=11"], "which is not an integer from 0 to 9"),
        ("PROCESS_SCENE", ["scene=a", "priority=high"], "PROCESS_SCENE priority is wrong: 'high'"),
        ("PROCESS_SCENE", ["scene=a", "products=geotif"], "not one of classes"),
        ("PROCESS_SCENE", ["scene=a", "ground_sample_distance=15"], "not one of 10, 20, 40"),
        ("PROCESS_SCENE", ["scene=a", "deadline=tomorrow"], "is not a time"),
        ("OPEN_CONTACT", ["bytes=1.5", "seconds=1"], "not a whole number"),
        ("OPEN_CONTACT", ["bytes=1", "seconds=inf"], "not a finite number"),
        ("OPEN_CONTACT", ["bytes=inf", "seconds=1"], "not a finite number"),
        ("SCHEDULE", ["at=+1s", "telecommand={"], "not JSON"),
        ("SCHEDULE", ["at=+1s", 'telecommand={"name":"PINK"}'], "PINK is not a telecommand"),
        ("LIST_JOBS", ["states=queued"], "not one of QUEUED"),
    ],
)
def test_what_does_not_fit_is_named(name: str, pairs: list[str], said: str) -> None:
    with pytest.raises(UsageError) as error:
        read_arguments(name, pairs, NOW)
    assert said in str(error.value)


def test_only_times_of_a_scenario_are_resolved_and_wrong_arguments_stay_wrong() -> None:
    args = {"scene": "+30s", "deadline": "+30s", "priority": "high", "unknown": "+30s"}
    assert read_times("PROCESS_SCENE", args, NOW) == {**args, "deadline": NOW + 30 * 10**9}
    assert read_times("NONE_SUCH", args, NOW) == args


def test_every_telecommand_can_be_listed_with_its_arguments() -> None:
    listing = all_telecommands()
    for name, kind in TELECOMMANDS.items():
        assert f"\n{name} " in f"\n{listing}"
        listed = one_telecommand(kind)
        for field in kind.__struct_fields__:
            assert f"\n  {field} " in listed
    scene = one_telecommand(TELECOMMANDS["PROCESS_SCENE"])
    assert "default geotiff,report" in scene
    assert "path below the scene root" in scene
    assert "asks for confirmation" in one_telecommand(TELECOMMANDS["DELETE_PRODUCT"])
