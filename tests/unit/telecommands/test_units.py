from __future__ import annotations

import pytest

from telecommands.units import duration, percentage, size


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (66_700_000_000, "66.7 GB"), (2e13, "20.0 TB")],
)
def test_bytes_have_a_decimal_unit(count: float, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (187, "3:07 min"), (7500, "2:05 h"), (266_400, "3 d 02 h")],
)
def test_a_duration_has_the_unit_of_its_size(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_share_is_in_per_cent() -> None:
    assert [percentage(share) for share in (0, 0.25, 0.55234, 1)] == [
        "0 %",
        "25 %",
        "55.2 %",
        "100 %",
    ]
