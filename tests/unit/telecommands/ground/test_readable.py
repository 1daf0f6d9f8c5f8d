from __future__ import annotations

from typing import Any

import pytest

from telecommands.dictionary import Stage, Verification
from telecommands.ground.readable import stage_lines, table, value_text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("size", 1_500_000, "1.5 MB"),
        ("storage.quota_bytes", 20_000_000_000, "20.0 GB"),
        ("bytes_left", 66_700_000_000, "66.7 GB"),
        ("clear", 0.25, "25 %"),
        ("cpu_share", 0.5, "50 %"),
        ("uptime_s", 7500.0, "2:05 h"),
        ("seconds", 12.34, "12.3 s"),
        ("created_at", 1_800_000_000_000_000_000, "2027-01-15T08:00:00.000Z"),
        ("priority", 5, "5"),
        ("attempts", 2, "2"),
        ("valid_pixels", 120_560_400, "120560400"),
        ("passed", True, "true"),
        ("cause", "", ""),
        ("deadline", None, "-"),
    ],
)
def test_a_value_has_the_unit_of_its_name(name: str, value: Any, text: str) -> None:
    assert value_text(name, value) == text


def test_records_are_a_table_without_the_columns_that_are_empty_in_all() -> None:
    jobs = [
        {"job": "job-1", "scene": "a.SAFE", "priority": 5, "code": None, "cause": ""},
        {"job": "job-22", "scene": "bb.SAFE", "priority": 10, "code": None, "cause": ""},
    ]
    assert list(table(jobs)) == [
        "job     scene    priority",
        "job-1   a.SAFE   5",
        "job-22  bb.SAFE  10",
    ]


def test_wide_columns_are_last_and_checksums_short() -> None:
    product = {"product": "p-1", "name": "x" * 50, "sha256": "0123456789ab" * 5, "size": 1500}
    assert list(table([product])) == [
        "product  sha256         size    name",
        f"p-1      0123456789ab…  1.5 kB  {'x' * 50}",
    ]


def test_the_value_of_a_parameter_has_the_unit_of_its_name() -> None:
    parameters = [{"name": "storage.quota_bytes", "value": 10**9, "default": 2 * 10**10}]
    assert list(table(parameters))[1] == "storage.quota_bytes  1.0 GB  20.0 GB"


def test_the_list_in_an_answer_is_a_table_below_its_name() -> None:
    verification = Verification(
        id="a",
        name="LIST_SCHEDULE",
        stage=Stage.COMPLETED,
        at=1,
        data={"entries": [{"entry": "e-1", "at": 2}], "total": 1},
    )
    _, *lines = stage_lines(verification)
    assert lines == ["  entries", "    entry  at", "    e-1    2", "  total    1"]


def test_an_empty_text_of_an_answer_is_left_out() -> None:
    verification = Verification(
        id="a",
        name="LIST_SCENES",
        stage=Stage.COMPLETED,
        at=1,
        data={"scenes": [], "total": 0, "remark": ""},
    )
    _, *lines = stage_lines(verification)
    assert lines == ["  scenes  -", "  total   0"]
