from __future__ import annotations

import pytest

from flightsw.bench.machine import processor_name

_PC = [
    "processor\t: 0",
    "cpu family\t: 26",
    "model\t\t: 2",
    "model name\t: AMD EPYC",
    "flags\t\t: fpu",
]


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        (_PC, "AMD EPYC (family 26, model 2)"),
        (["processor\t: 0", "model name\t: ARMv8 rev 1"], "ARMv8 rev 1"),
        (["processor\t: 0", "CPU part\t: 0xd42"], ""),
        ([], ""),
    ],
)
def test_processors_of_one_name_differ_by_family_and_model(lines: list[str], name: str) -> None:
    assert processor_name(lines) == name
